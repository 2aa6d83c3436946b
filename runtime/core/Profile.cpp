#include "runtime/core/Profile.h"

#include <inttypes.h>
#include <time.h>

namespace fovea::rt {

int64_t nanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// Text as the inside of a JSON string.
struct JsonText {
  explicit JsonText(const char *value) {
    Line line(text, sizeof(text) - 3); // "..." where it is cut
    for (; value && *value; ++value) {
      auto c = static_cast<unsigned char>(*value);
      if (c < 0x20 || c == '"' || c == '\\')
        line.add("\\u%04x", c);
      else
        line.add("%c", c);
    }
  }
  char text[400];
};

void fullPath(const fovea_path *outer, const char *path, char *text, size_t capacity) {
  constexpr size_t most = 32;
  const char *names[most];
  size_t count = 0;
  for (; outer && count < most; outer = outer->outer)
    names[count++] = outer->name;
  Line line(text, capacity);
  while (count > 0) {
    const char *name = names[--count];
    line.add("%s%s", name, count || (path && *path) ? "." : "");
  }
  if (path)
    line.add("%s", path);
}

static void pathOf(const ProfileEvent &event, char *text, size_t capacity) {
  fovea_path frames[ProfileEvent::deepest];
  int32_t count = 0;
  while (count < ProfileEvent::deepest && event.outer[count]) {
    frames[count] = {event.outer[count], nullptr};
    if (count > 0)
      frames[count - 1].outer = &frames[count];
    ++count;
  }
  fullPath(count ? frames : nullptr, event.path, text, capacity);
}

/// Seconds that a launch takes at least; 0 where the limits are not known.
static double leastSeconds(const fovea_limits &limits, const ProfileEvent &event) {
  auto bytes = static_cast<double>(event.bytes), flops = static_cast<double>(event.flops);
  int level = bytes <= limits.cache_bytes[0] ? 0 : bytes <= limits.cache_bytes[1] ? 1 : 2;
  double compute = limits.operations > 0 ? flops / limits.operations : 0;
  double memory = limits.reading[level] > 0 ? bytes / limits.reading[level] : 0;
  return compute > memory ? compute : memory;
}

static fovea_code writeEvent(OutputFile &file, const ProfileEvent &event, const fovea_limits &limits, int64_t start,
                             fovea_error *error) {
  double duration = static_cast<double>(event.end - event.begin) / 1e3;
  JsonText name(event.info ? event.info->name : "kernel"), kind(event.info ? event.info->kind : ""),
      place(event.info ? event.info->place : "");
  fovea_code code =
      file.print(error,
                 ",\n{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,"
                 "\"args\":{\"launch\":%d,\"tasks\":%" PRId64,
                 name.text, kind.text, event.thread < 0 ? 0 : event.thread + 1,
                 static_cast<double>(event.begin - start) / 1e3, duration, event.launch, event.tasks);
  if (code || event.thread >= 0)
    return code ? code : file.print(error, "}}");
  char joined[400];
  pathOf(event, joined, sizeof(joined));
  JsonText path(joined);
  double seconds = duration > 0 ? duration * 1e-6 : 1e-9;
  code =
      file.print(error,
                 ",\"kind\":\"%s\",\"place\":\"%s\",\"path\":\"%s\",\"flops\":%" PRId64 ",\"bytes\":%" PRId64
                 ",\"gflop_s\":%.3f,\"gb_s\":%.3f",
                 kind.text, place.text, path.text, event.flops, event.bytes,
                 static_cast<double>(event.flops) / seconds * 1e-9, static_cast<double>(event.bytes) / seconds * 1e-9);
  if (double least = leastSeconds(limits, event); least > 0 && !code)
    code = file.print(error, ",\"share\":%.3f", least / seconds);
  return code ? code : file.print(error, "}}");
}

fovea_code Profile::write(OutputFile &file, const char *program, fovea_error *error) const {
  uint64_t seen = next.load();
  size_t count = seen < events.size() ? seen : events.size();
  int64_t start = INT64_MAX;
  int32_t threads = 0;
  for (size_t i = 0; i < count; ++i) {
    start = events[i].begin < start ? events[i].begin : start;
    threads = events[i].thread >= threads ? events[i].thread + 1 : threads;
  }
  fovea_code code =
      file.print(error,
                 "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"lost_events\":%" PRIu64 "},\"traceEvents\":[\n"
                 "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"%s\"}},\n"
                 "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":0,\"args\":{\"name\":\"launches\"}}",
                 seen - count, JsonText(program).text);
  for (int32_t thread = 0; thread < threads && !code; ++thread)
    code = file.print(
        error, ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"args\":{\"name\":\"thread %d\"}}",
        thread + 1, thread);
  for (size_t i = 0; i < count && !code; ++i)
    code = writeEvent(file, events[i], limits, start, error);
  return code ? code : file.print(error, "\n]}\n");
}

} // namespace fovea::rt
