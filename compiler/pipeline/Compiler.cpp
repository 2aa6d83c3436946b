#include "compiler/pipeline/Compiler.h"

#include "compiler/analysis/MemoryPlan.h"
#include "compiler/import/Import.h"
#include "compiler/kernels/emit/Emit.h"
#include "compiler/kernels/emit/ToLLVM.h"
#include "compiler/pipeline/Phases.h"
#include "compiler/pipeline/Register.h"
#include "compiler/program/Identity.h"
#include "compiler/program/LowerProgram.h"
#include "compiler/syntax/Parser.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/graph/Places.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

#include <cerrno>
#include <deque>
#include <mutex>
#include <set>

using namespace mlir;

namespace fovea::pipeline {

static constexpr std::pair<const char *, Stage> stages[] = {
    {"ast", Stage::AST},       {"typed", Stage::Typed},   {"graph", Stage::Graph},   {"fused", Stage::Fused},
    {"kernel", Stage::Kernel}, {"vector", Stage::Vector}, {"llvm", Stage::LLVM},     {"asm", Stage::Assembly},
    {"obj", Stage::Object},    {"lib", Stage::Library},   {"exe", Stage::Executable}};

std::optional<Stage> parseStage(StringRef name) {
  for (auto [text, stage] : stages)
    if (name == text)
      return stage;
  return std::nullopt;
}

std::vector<std::string> stageNames() {
  std::vector<std::string> names;
  for (auto [text, stage] : stages)
    names.push_back(text);
  return names;
}

struct Compiler::State {
  explicit State(Options options)
      : options(std::move(options)), context(registry(), MLIRContext::Threading::DISABLED), diagnostics(sources),
        handler(&context, [this](Diagnostic &d) { return report(d); }) {
    context.printOpOnDiagnostic(false);
    timing.setEnabled(this->options.time);
    root = timing.getRootScope();
  }

  static DialectRegistry registry() {
    DialectRegistry registry;
    registerDialects(registry);
    return registry;
  }
  LogicalResult report(Diagnostic &diagnostic);
  void writeReproducer(ModuleOp before, StringRef pipeline);
  /// Runs a step on `module`; where it fails and the model is not at fault, leaves a reproducer.
  LogicalResult guarded(ModuleOp module, StringRef pipeline, llvm::function_ref<LogicalResult()> step);
  bool usageError(const Twine &message);
  bool loadPlugins();
  void observe(PassManager &passes, TimingScope &scope);
  LogicalResult runPasses(ModuleOp module, StringRef pipeline, StringRef point = "");
  LogicalResult lowerToLLVM(ModuleOp module, const kernels::Target &target);
  bool printed(const std::vector<std::string> &names, Pass *pass) {
    return llvm::any_of(names, [&](const std::string &name) { return name == "all" || pass->getArgument() == name; });
  }

  Options options;
  FailureKind code = FailureKind::None;
  llvm::DefaultThreadPool pool; // as many threads as there are processors to run on
  MLIRContext context;
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics;
  ScopedDiagnosticHandler handler;
  DefaultTimingManager timing;
  TimingScope root;
  std::optional<sema::Model> model;
  OwningOpRef<ModuleOp> graph;
};

/// A pass's diagnostic as users see all diagnostics: place, source line, caret, and below them where the library comes
/// in.
LogicalResult Compiler::State::report(Diagnostic &diagnostic) {
  StringRef name = modelErrorName(diagnostic);
  source::Severity severity = diagnostic.getSeverity() == DiagnosticSeverity::Error     ? source::Severity::Error
                              : diagnostic.getSeverity() == DiagnosticSeverity::Warning ? source::Severity::Warning
                                                                                        : source::Severity::Note;
  bool isInternal = severity == source::Severity::Error && name.empty();
  std::string label = name.empty() ? isInternal ? "internal" : "pass" : name.str();
  source::DiagnosticInfo info{0, severity, label.c_str(), "", ""};
  source::Diagnostic shown{&info, {}, diagnostic.str(), {}, {}, {}, {}, 0};
  auto spanOf = [&](const PlaceFrame &frame) {
    return sources.spanAt(frame.place.getFilename().getValue(), {frame.place.getLine(), frame.place.getColumn()});
  };
  SmallVector<PlaceFrame> frames = placeFrames(diagnostic.getLocation());
  if (const PlaceFrame *user = userFrame(frames)) {
    shown.span = spanOf(*user);
    if (!shown.span.valid())
      shown.message = placeText(user->place) + ": " + shown.message;
    if (source::Span inner = spanOf(frames.front()); user != &frames.front() && inner.valid())
      shown.labels.push_back({inner, "in the library's `" + frames.front().function.split('$').first.str() + "`"});
  }
  for (Diagnostic &note : diagnostic.getNotes()) {
    SmallVector<PlaceFrame> where = placeFrames(note.getLocation());
    const PlaceFrame *user = userFrame(where);
    source::Span span = user ? spanOf(*user) : source::Span();
    if (std::string text = note.str(); StringRef(text).consume_front("help: "))
      shown.help = text.substr(strlen("help: "));
    else if (span.valid())
      shown.labels.push_back({span, note.str()});
    else
      shown.notes.push_back(note.str());
  }
  llvm::errs() << diagnostics.render(shown, llvm::errs().has_colors()) << '\n';
  if (severity == source::Severity::Error)
    code = isInternal ? FailureKind::Compiler : FailureKind::Model;
  return success();
}

/// After a failure that is not the model's: writes `before`, what the step was given, and says how to run it again.
void Compiler::State::writeReproducer(ModuleOp before, StringRef pipeline) {
  SmallString<128> path;
  int file;
  llvm::errs() << "fovea: this is an error of the compiler, not of the model";
  if (!before || llvm::sys::fs::createTemporaryFile("fovea-reproducer", "mlir", file, path)) {
    llvm::errs() << '\n';
    return;
  }
  llvm::raw_fd_ostream stream(file, /*shouldClose=*/true);
  stream << "// fovea-opt --pass-pipeline='builtin.module(" << pipeline << ")'\n";
  before.print(stream, OpPrintingFlags().enableDebugInfo(true));
  stream << '\n';
  llvm::errs() << "; a report should have the file " << path << ", the module before the step that failed\n";
}

LogicalResult Compiler::State::guarded(ModuleOp module, StringRef pipeline, llvm::function_ref<LogicalResult()> step) {
  OwningOpRef<ModuleOp> before(cast<ModuleOp>(module->clone()));
  code = FailureKind::None;
  if (succeeded(step()))
    return success();
  if (code != FailureKind::Model) { // also a failure without a word
    code = FailureKind::Compiler;
    writeReproducer(*before, pipeline);
  }
  return failure();
}

/// "'nosuch' does not refer to a registered pass" of what the parser of pipelines prints: the place and the line, and
/// carets.
static std::string pipelineError(StringRef printed) {
  auto [place, message] = printed.split("error: ");
  return (message.empty() ? printed : message).split('\n').first.str();
}

bool Compiler::State::usageError(const Twine &message) {
  llvm::errs() << "fovea: " << message << '\n';
  code = FailureKind::Usage;
  return false;
}

void Compiler::State::observe(PassManager &passes, TimingScope &scope) {
  passes.enableVerifier(true);
  if (!options.printBefore.empty() || !options.printAfter.empty())
    passes.enableIRPrinting([this](Pass *pass, Operation *) { return printed(options.printBefore, pass); },
                            [this](Pass *pass, Operation *) { return printed(options.printAfter, pass); });
  if (options.time)
    passes.enableTiming(scope);
}

LogicalResult Compiler::State::runPasses(ModuleOp module, StringRef pipeline, StringRef point) {
  PassManager passes(&context);
  std::string text = pipeline.str();
  for (const PluginPass &plugin : options.plugins)
    if (!point.empty() && plugin.point == point)
      text += (text.empty() ? "" : ",") + plugin.pipeline;
  if (text.empty())
    return success();
  std::string error;
  llvm::raw_string_ostream stream(error);
  if (failed(parsePassPipeline(text, passes, stream)))
    return usageError("the passes `" + Twine(text) + "` cannot be run: " + pipelineError(error)), failure();
  TimingScope scope = root.nest(point.empty() ? "passes" : point);
  observe(passes, scope);
  return guarded(module, text, [&] { return passes.run(module); });
}

/// The one step whose functions go side by side; what is printed between the passes comes in order.
LogicalResult Compiler::State::lowerToLLVM(ModuleOp module, const kernels::Target &target) {
  PassManager passes(&context);
  kernels::addToLLVMPasses(passes, target);
  TimingScope scope = root.nest("to-llvm");
  observe(passes, scope);
  passes.enableVerifier(false); // of what emission made and of the end: between them are MLIR's own passes
  if (options.printBefore.empty() && options.printAfter.empty())
    context.setThreadPool(pool);
  LogicalResult lowered = guarded(module, "", [&] {
    return success(succeeded(verify(module)) && succeeded(passes.run(module)) && succeeded(verify(module)));
  });
  context.disableMultithreading();
  return lowered;
}

Compiler::Compiler(Options options) : state(std::make_unique<State>(std::move(options))) {}
Compiler::~Compiler() = default;

FailureKind Compiler::failureKind() const { return state->code; }
const Options &Compiler::options() const { return state->options; }
const sema::Model &Compiler::model() const { return *state->model; }
source::SourceManager &Compiler::sources() { return state->sources; }
ModuleOp Compiler::graph() { return *state->graph; }

std::optional<source::FileId> loadModelFile(source::SourceManager &sources, const std::string &path) {
  errno = 0;
  std::optional<source::FileId> file = sources.load(path);
  if (!file)
    llvm::errs() << "fovea: cannot read '" << path << "': " << llvm::sys::StrError() << '\n';
  else if (sources.text(*file).find('\0') != std::string_view::npos)
    llvm::errs() << "fovea: '" << path << "' is not a text file\n", file = std::nullopt;
  return file;
}

std::optional<std::string> Compiler::printSyntax(const std::string &path) {
  std::optional<source::FileId> file = loadModelFile(state->sources, path);
  if (!file)
    return std::nullopt;
  std::unique_ptr<syntax::File> tree = syntax::parse(state->sources, *file, state->diagnostics);
  llvm::errs() << state->diagnostics.render(llvm::errs().has_colors());
  return state->diagnostics.hasErrors() ? std::nullopt : std::optional(syntax::print(*tree));
}

bool Compiler::read(const std::string &path) {
  TimingScope scope = state->root.nest("frontend");
  std::optional<source::FileId> file = loadModelFile(state->sources, path);
  if (!file)
    return false;
  state->model = sema::elaborate(state->sources, *file, state->options.model, state->diagnostics);
  llvm::errs() << state->diagnostics.render(llvm::errs().has_colors());
  return state->model.has_value();
}

static void registerPassesOnce() {
  static std::once_flag once;
  std::call_once(once, registerPasses);
}

/// Loads the plugins once, so that the registry knows their passes; then every pass that is named must be known.
bool Compiler::State::loadPlugins() {
  std::set<std::string> loaded;
  for (const PluginPass &plugin : options.plugins) {
    if (!loaded.insert(plugin.plugin).second)
      continue;
    if (!llvm::sys::fs::exists(plugin.plugin))
      return usageError("there is no plugin '" + Twine(plugin.plugin) + "'");
    llvm::Expected<PassPlugin> library = PassPlugin::load(plugin.plugin);
    if (!library)
      return usageError("cannot load the plugin '" + Twine(plugin.plugin) + "': " + toString(library.takeError()));
    library->registerPassRegistryCallbacks();
  }
  for (const PluginPass &plugin : options.plugins) {
    PassManager passes(&context);
    std::string error;
    llvm::raw_string_ostream stream(error);
    if (failed(parsePassPipeline(plugin.pipeline, passes, stream)))
      return usageError("--load-pass: " + pipelineError(error));
  }
  for (const auto *names : {&options.printBefore, &options.printAfter})
    for (const std::string &name : *names)
      if (name != "all" && !PassInfo::lookup(name))
        return usageError("there is no pass `" + Twine(name) + "`; `fovea-opt --help` lists all");
  return true;
}

static bool asksForGradients(ModuleOp module) {
  return module.walk([](graph::GradOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

bool Compiler::import() {
  registerPassesOnce();
  if (!state->loadPlugins())
    return false;
  {
    TimingScope scope = state->root.nest("import");
    state->graph = importModel(*state->model, state->sources, state->context);
  }
  if (!state->graph)
    return false;
  std::string passes =
      asksForGradients(*state->graph) ? phases::gradients(state->options.fusesAttention) : std::string();
  return succeeded(state->runPasses(*state->graph, passes, points::afterImport));
}

bool Compiler::simplify() {
  return succeeded(state->runPasses(*state->graph, phases::beforeFusion, points::beforeFusion));
}

bool Compiler::fuse() {
  std::string passes = phases::fusion(state->options.fusesAttention, state->options.attentionMaps);
  return succeeded(state->runPasses(*state->graph, passes, points::afterFusion));
}

OwningOpRef<ModuleOp> Compiler::lower(const kernels::Target &target, Stage stage, program::Interface &interface) {
  OwningOpRef<ModuleOp> module(cast<ModuleOp>(graph()->clone()));
  const Options &options = state->options;
  std::string graphPasses = phases::forTarget(target, options.matmulPrecision, options.weightsDtype);
  if (options.maxMemory || !options.sizes.empty())
    graphPasses += "," + phases::rematerialization(options.maxMemory, options.sizes);
  if (failed(state->runPasses(*module, graphPasses)))
    return {};
  LogicalResult described = state->guarded(*module, "", [&]() -> LogicalResult {
    FailureOr<program::Interface> read = program::describeProgram(*module);
    if (succeeded(read))
      interface = std::move(*read);
    return read;
  });
  if (failed(described))
    return {};
  if (stage == Stage::Fused)
    return module;
  if (failed(state->runPasses(*module, phases::toKernels, points::kernel)))
    return {};
  if (stage == Stage::Kernel)
    return module;
  {
    TimingScope scope = state->root.nest("emit");
    program::KernelTable kernels = program::describeKernels(*module);
    LogicalResult emitted = state->guarded(*module, "", [&]() -> LogicalResult {
      if (failed(kernels::emitKernels(*module, target)))
        return failure();
      interface.identity = program::identify(*module, interface);
      return program::lowerProgram(*module, interface, kernels);
    });
    if (failed(emitted))
      return {};
  }
  if (stage == Stage::Vector)
    return module;
  if (failed(state->lowerToLLVM(*module, target)))
    return {};
  return module;
}

/// "x86-64-v3" as part of a C identifier.
static std::string targetSymbol(const kernels::Target &target) {
  std::string symbol = ("fovea_target_" + target.name).str();
  for (char &c : symbol)
    if (!llvm::isAlnum(c))
      c = '_';
  return symbol;
}

static program::TargetTable targetTable(const kernels::Target &target) {
  program::TargetTable table{target.name.str(), {}};
  SmallVector<StringRef> words;
  StringRef(target.required).split(words, ' ', -1, /*KeepEmpty=*/false);
  for (StringRef word : words)
    table.features.push_back(word.str());
  if (!target.avoided.empty())
    table.features.push_back(("-" + target.avoided).str());
  return table;
}

/// The arena's size for people, by host function.
static std::string arenaFormula(ModuleOp module, StringRef function) {
  auto arena = module.lookupSymbol((function + ".arena").str());
  auto formula = arena ? arena->getAttrOfType<StringAttr>("fovea.formula") : StringAttr();
  std::optional<SizeFormula> size = formula ? SizeFormula::parse(formula.getValue()) : std::nullopt;
  return size ? size->summary() : "";
}

static bool reportError(llvm::Error error) {
  llvm::errs() << "error: " << toString(std::move(error)) << '\n';
  return false;
}

namespace {
/// LLVM's form of one target's code, ready to be optimised.
struct TargetModule {
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
  object::CodegenTarget target;
};
} // namespace

static std::optional<TargetModule> translate(ModuleOp module, const kernels::Target &target,
                                             const program::Interface &interface, llvm::LLVMContext &context) {
  TargetModule result;
  result.target = {target.cpu.str(), target.features.str()};
  auto machine = object::createTargetMachine(result.target);
  if (!machine) {
    reportError(machine.takeError());
    return std::nullopt;
  }
  result.machine = std::move(*machine);
  // The formulas are read before translation consumes nothing of them: attributes stay on the functions.
  result.module = translateModuleToLLVMIR(module, context, target.name);
  if (!result.module)
    return std::nullopt;
  program::addTargetTable(*result.module, interface, targetTable(target), targetSymbol(target),
                          [&](StringRef function) { return arenaFormula(module, function); });
  return result;
}

namespace {
/// Makes objects of modules' parts in other threads; gives them in the order in which they came.
class ObjectQueue {
public:
  explicit ObjectQueue(llvm::ThreadPoolInterface &pool) : group(pool) {}

  void add(object::Part part, const object::CodegenTarget &target) {
    Object &object = objects.emplace_back();
    group.async([&object, part = std::move(part), target] {
      if (auto bytes = object::compile(part, target))
        object.bytes = std::move(*bytes);
      else
        object.error = toString(bytes.takeError());
    });
  }
  llvm::Expected<std::vector<llvm::SmallVector<char, 0>>> wait() {
    group.wait();
    std::vector<llvm::SmallVector<char, 0>> files;
    for (Object &object : objects) {
      if (!object.error.empty())
        return llvm::createStringError(object.error);
      files.push_back(std::move(object.bytes));
    }
    return files;
  }

private:
  struct Object {
    llvm::SmallVector<char, 0> bytes;
    std::string error;
  };
  std::deque<Object> objects;
  llvm::ThreadPoolTaskGroup group; // goes first, and waits
};
} // namespace

std::optional<Compiler::Objects> Compiler::compile(object::Division division) {
  Objects objects;
  ObjectQueue queue(state->pool); // works on one target while the next is lowered
  for (const kernels::Target *targetRow : state->options.targets) {
    const kernels::Target &target = *targetRow;
    program::Interface interface;
    OwningOpRef<ModuleOp> lowered = lower(target, Stage::LLVM, interface);
    if (!lowered)
      return std::nullopt;
    llvm::LLVMContext context;
    TimingScope scope = state->root.nest("llvm");
    std::optional<TargetModule> code = translate(*lowered, target, interface, context);
    if (!code)
      return std::nullopt;
    for (object::Part &part : object::divide(*code->module, *code->machine, code->target, division, target.name))
      queue.add(std::move(part), code->target);
    if (objects.targets.empty()) {
      for (const program::Entry &entry : interface.entries)
        objects.arenaFormulas.emplace_back(entry.name, arenaFormula(*lowered, entry.function));
      objects.interface = std::move(interface);
    }
    objects.targets.push_back(targetSymbol(target));
  }
  TimingScope scope = state->root.nest("llvm");
  auto files = queue.wait();
  if (!files)
    return reportError(files.takeError()), std::nullopt;
  objects.files = std::move(*files);
  return objects;
}

bool Compiler::addTables(Objects &objects, bool executable, ArrayRef<program::PackedPath> packed) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> tables =
      program::makeProgramModule(context, objects.interface, objects.targets, executable, packed);
  object::CodegenTarget baseline{"x86-64", ""};
  auto machine = object::createTargetMachine(baseline);
  if (!machine)
    return reportError(machine.takeError());
  object::prepare(*tables, **machine, baseline);
  object::optimize(*tables, **machine);
  auto bytes = object::generate(*tables, **machine, object::FileKind::Object);
  if (!bytes)
    return reportError(bytes.takeError());
  objects.files.push_back(std::move(*bytes));
  return true;
}

std::optional<std::string> Compiler::print(Stage stage) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (stage == Stage::Typed)
    return sema::print(model());
  if (stage == Stage::Graph) {
    graph().print(stream, OpPrintingFlags().enableDebugInfo(false));
    return text;
  }
  const kernels::Target &target = *state->options.targets.front();
  program::Interface interface;
  OwningOpRef<ModuleOp> lowered = lower(target, stage == Stage::Assembly ? Stage::LLVM : stage, interface);
  if (!lowered)
    return std::nullopt;
  if (stage != Stage::LLVM && stage != Stage::Assembly) {
    lowered->print(stream);
    return text;
  }
  llvm::LLVMContext context;
  std::optional<TargetModule> code = translate(*lowered, target, interface, context);
  if (!code)
    return std::nullopt;
  object::prepare(*code->module, *code->machine, code->target);
  object::optimize(*code->module, *code->machine);
  if (stage == Stage::LLVM) {
    code->module->print(stream, nullptr);
    return text;
  }
  auto bytes = object::generate(*code->module, *code->machine, object::FileKind::Assembly);
  if (!bytes)
    return reportError(bytes.takeError()), std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

void Compiler::printTimes() {
  state->root.stop();
  state->timing.print();
  state->timing.setEnabled(false); // it would print once more when it is destroyed
}

} // namespace fovea::pipeline
