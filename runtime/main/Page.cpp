#include "runtime/main/Page.h"

namespace fovea::rt {

const char *const pageMiddle = R"(
</script><script>
const make = (name, parent, text, attributes) => { const e = name[0] == ':' ? document.createElementNS('http://www.w3.org/2000/svg', name.slice(1)) : document.createElement(name);
  if (text != null) e.textContent = text; for (const k in attributes) e.setAttribute(k, attributes[k]); parent.append(e); return e };
const shown = x => Number(x.toPrecision(4)).toString();
)";

void PageWriter::text(Text what) {
  if (!code)
    code = file.write(what.data(), what.size(), error);
}

void PageWriter::number(const char *label, int64_t value) {
  if (!code)
    code = file.print(error, "%s%lld", label, static_cast<long long>(value));
}

void PageWriter::string(Text what) {
  text("\"");
  for (size_t i = 0; i < what.size() && !code; ++i) {
    unsigned char c = static_cast<unsigned char>(what.data()[i]);
    if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '&')
      code = file.print(error, "\\u%04x", c);
    else
      code = file.write(&c, 1, error);
  }
  text("\"");
}

} // namespace fovea::rt
