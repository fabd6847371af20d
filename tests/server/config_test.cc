#include "server/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "base/limits.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

std::string read_example() {
  std::ifstream file(MUSTER_EXAMPLE_CONFIG);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string complaint(std::string_view text) {
  const auto config = parse_config(text, "f");
  if (config.ok()) return "";
  EXPECT_EQ(config.status().reason(), "config_invalid");
  return std::string(config.status().message());
}

TEST(Config, AnEmptyFileIsTheDefaults) {
  const auto config = parse_config("", "f");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->data_dir, "muster-data");
  EXPECT_EQ(config->ingest.listen, std::vector<std::string>{"tcp://127.0.0.1:7400"});
  EXPECT_EQ(config->spool.segment_bytes, 256u << 20);
  EXPECT_EQ(config->drain_grace, 20 * kSecond);
  EXPECT_TRUE(config->tasks.empty());
}

TEST(Config, TheExampleParses) {
  const auto config = parse_config(read_example(), "muster.toml");
  ASSERT_TRUE(config.ok()) << config.status().message();
  const Config defaults;
  EXPECT_EQ(config->ingest.listen.size(), 2u);
  // What the example calls a default is one.
  EXPECT_EQ(config->data_dir, defaults.data_dir);
  EXPECT_EQ(config->drain_grace, defaults.drain_grace);
  EXPECT_EQ(config->crash_limit, defaults.crash_limit);
  EXPECT_EQ(config->ingest.security, defaults.ingest.security);
  EXPECT_EQ(config->ingest.slab_bytes, defaults.ingest.slab_bytes);
  EXPECT_EQ(config->ingest.slot_bytes, defaults.ingest.slot_bytes);
  EXPECT_EQ(config->ingest.io_threads, defaults.ingest.io_threads);
  EXPECT_EQ(config->ingest.max_connections, defaults.ingest.max_connections);
  EXPECT_EQ(config->ingest.max_connections_per_address,
            defaults.ingest.max_connections_per_address);
  EXPECT_EQ(config->ingest.commit_window, defaults.ingest.commit_window);
  EXPECT_EQ(config->ingest.commit_bytes, defaults.ingest.commit_bytes);
  EXPECT_EQ(config->spool.segment_bytes, defaults.spool.segment_bytes);
  EXPECT_EQ(config->spool.low_water_bytes, defaults.spool.low_water_bytes);
  EXPECT_EQ(config->spool.encrypt, defaults.spool.encrypt);
  EXPECT_EQ(config->backend.kind, defaults.backend.kind);
  EXPECT_EQ(config->backend.cpu_level, defaults.backend.cpu_level);
  EXPECT_EQ(config->backend.memory_bytes, defaults.backend.memory_bytes);
  EXPECT_EQ(config->monitoring.listen, defaults.monitoring.listen);
  EXPECT_EQ(config->admin.socket, defaults.admin.socket);
  EXPECT_EQ(config->log.level, defaults.log.level);
  EXPECT_EQ(config->log.format, defaults.log.format);
  ASSERT_EQ(config->tasks.size(), 1u);
  EXPECT_EQ(config->tasks[0].rule, "trimmed_mean");
}

TEST(Config, TheExampleHasEveryKey) {
  std::set<std::string> shown;
  std::string section, line;
  for (std::istringstream lines(read_example()); std::getline(lines, line);) {
    // Alternatives stand in comments: "# model = ...".
    if (line.starts_with("# ")) line.erase(0, 2);
    if (line.starts_with('['))
      section =
          line.substr(line.find_first_not_of('['), line.find(']') - line.rfind('[') - 1) + ".";
    const std::size_t end = line.find(" = ");
    if (end != std::string::npos && line.find(' ') == end)
      shown.insert(section + line.substr(0, end));
  }
  const std::vector<std::string> keys = config_keys();
  EXPECT_GE(keys.size(), 50u);
  for (const std::string& key : keys) EXPECT_TRUE(shown.contains(key)) << key;
}

TEST(Config, ListenTakesAStringOrAList) {
  EXPECT_EQ(parse_config("[ingest]\nlisten = 'tcp://10.0.0.1:1'", "f")->ingest.listen,
            std::vector<std::string>{"tcp://10.0.0.1:1"});
  EXPECT_EQ(
      parse_config("[ingest]\nlisten = ['tcp://*:*', 'tcp://[::1]:0']", "f")->ingest.listen.size(),
      2u);
}

TEST(Config, PlainIsFineOnLoopbackAndWhereItIsAskedFor) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "[::1]"})
    EXPECT_EQ(
        complaint("[ingest]\nsecurity = 'plain'\nlisten = 'tcp://" + std::string(host) + ":7400'"),
        "");
  EXPECT_EQ(complaint("[ingest]\nsecurity = 'plain'\nlisten = 'tcp://0.0.0.0:7400'\n"
                      "allow_plain_anywhere = true"),
            "");
  for (const char* host : {"127.0.0.1.example.org", "0.0.0.0", "*", "[::]", "localhost.org"})
    EXPECT_NE(
        complaint("[ingest]\nsecurity = 'plain'\nlisten = 'tcp://" + std::string(host) + ":7400'"),
        "")
        << host;
}

constexpr char kFullTask[] = R"toml(
name = "a-task_1"
model = "some \"odd\\ name\u0001.safetensors"
codec = "i8s"
block = 64
scale_exponent = -12
scales = "adaptive"
bits = 0
rotation = 1024
keep = 0.25
entropy = "zstd"
chunk_coordinates = 4096
rule = "multi_krum"
byzantine_share = 0.1
m = 5
neighbours = "n-f-1"
pre_steps = ["clipping(clip_norm=2)", "nnm"]
invalid_updates = "zero"
optimiser = "adam"
learning_rate = 1
beta1 = 0.85
beta2 = 0.995
epsilon = 1e-8
device_clip_norm = 0.1
value_bound = 7.25
max_weight = 31
target_cohort = 300
minimum_cohort = 30
over_selection = 1.75
deadline = "90s"
rounds = 7
memory = "1536MiB"
keep_models = 3
)toml";

TEST(TaskConfig, EveryKeyIsRead) {
  const auto task = parse_task(kFullTask, "f");
  ASSERT_TRUE(task.ok()) << task.status().message();
  EXPECT_EQ(task->name, "a-task_1");
  EXPECT_EQ(task->model, "some \"odd\\ name\x01.safetensors");
  EXPECT_EQ(task->codec, "i8s");
  EXPECT_EQ(task->block, 64u);
  EXPECT_EQ(task->scale_exponent, -12);
  EXPECT_TRUE(task->adaptive_scales);
  EXPECT_EQ(task->bits, 0u);
  EXPECT_EQ(task->rotation, 1024u);
  EXPECT_EQ(task->keep, 0.25);
  EXPECT_EQ(task->entropy, "zstd");
  EXPECT_EQ(task->chunk_coordinates, 4096u);
  EXPECT_EQ(task->rule, "multi_krum");
  EXPECT_EQ(task->rule_parameters.byzantine_share, 0.1);
  EXPECT_EQ(task->rule_parameters.m, 5u);
  EXPECT_EQ(task->rule_parameters.neighbours, "n-f-1");
  EXPECT_EQ(task->pre_steps, (std::vector<std::string>{"clipping(clip_norm=2)", "nnm"}));
  EXPECT_EQ(task->invalid_updates, "zero");
  EXPECT_EQ(task->step.optimiser, kernels::Optimiser::kAdam);
  EXPECT_EQ(task->step.learning_rate, 1.0);
  EXPECT_EQ(task->step.beta1, 0.85);
  EXPECT_EQ(task->step.beta2, 0.995);
  EXPECT_EQ(task->step.epsilon, 1e-8);
  EXPECT_EQ(task->device_clip_norm, 0.1f);
  EXPECT_EQ(task->value_bound, 7.25f);
  EXPECT_EQ(task->max_weight, 31u);
  EXPECT_EQ(task->target_cohort, 300u);
  EXPECT_EQ(task->minimum_cohort, 30u);
  EXPECT_EQ(task->over_selection, 1.75);
  EXPECT_EQ(task->deadline, 90 * kSecond);
  EXPECT_EQ(task->rounds, 7u);
  EXPECT_EQ(task->memory_bytes, std::uint64_t{1536} << 20);
  EXPECT_EQ(task->keep_models, 3u);
}

TEST(TaskConfig, ItsTextReadsBackAsTheSameTask) {
  for (const char* text :
       {kFullTask, "name = 'x'\ndimension = 17", "name='y'\ndimension=5\nrule='krum'\nf=2",
        "name='z'\ndimension=5\nrule='clipped_mean'\nclip_norm=0.1"}) {
    const auto task = parse_task(text, "f");
    ASSERT_TRUE(task.ok()) << task.status().message();
    const auto again = parse_task(task->text, "again");
    ASSERT_TRUE(again.ok()) << again.status().message() << task->text;
    EXPECT_EQ(again->text, task->text);
    EXPECT_EQ(again->name, task->name);
    EXPECT_EQ(again->model, task->model);
    EXPECT_EQ(again->dimension, task->dimension);
    EXPECT_EQ(again->rule_parameters.clip_norm, task->rule_parameters.clip_norm);
    EXPECT_EQ(again->rule_parameters.f, task->rule_parameters.f);
    EXPECT_EQ(again->rule_parameters.byzantine_share, task->rule_parameters.byzantine_share);
    EXPECT_EQ(again->step.epsilon, task->step.epsilon);
    EXPECT_EQ(again->device_clip_norm, task->device_clip_norm);
    EXPECT_EQ(again->deadline, task->deadline);
    EXPECT_EQ(again->memory_bytes, task->memory_bytes);
    EXPECT_EQ(task_terms(*again), task_terms(*task));
  }
}

TEST(TaskConfig, ATaskOfAConfigurationHasTheSameText) {
  const auto alone = parse_task(kFullTask, "f");
  const auto inside = parse_config("[[task]]\n" + std::string(kFullTask), "f");
  ASSERT_TRUE(inside.ok()) << inside.status().message();
  EXPECT_EQ(inside->tasks.at(0).text, alone->text);
}

TEST(TaskConfig, TermsChangeWithWhatDevicesAgreedTo) {
  const auto task = parse_task(kFullTask, "f");
  auto other = *task;
  other.minimum_cohort = 29;
  EXPECT_NE(task_terms(other), task_terms(*task));
  other = *task;
  other.rule_parameters.byzantine_share = 0.2;
  EXPECT_NE(task_terms(other), task_terms(*task));
  // What only the operator cares about is not in them.
  other = *task;
  other.keep_models = 99;
  other.rounds = 1;
  EXPECT_EQ(task_terms(other), task_terms(*task));
}

TEST(ConfigText, NumbersReadBackAsTheSameBits) {
  const std::uint64_t seed = 20'260'101;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const auto bits = random();
    const double wide = std::bit_cast<double>(bits);
    const float narrow = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::isfinite(wide)) {
      ASSERT_EQ(std::strtod(number_text(wide).c_str(), nullptr), wide) << bits;
    }
    if (std::isfinite(narrow)) {
      ASSERT_EQ(static_cast<float>(std::strtod(number_text(narrow).c_str(), nullptr)), narrow)
          << bits;
    }
  }
  EXPECT_EQ(number_text(1.0), "1.0");
  EXPECT_EQ(number_text(0.1f), "0.1");
}

TEST(Config, ADocumentOfOnlyDotsIsRefused) {
  std::string dots = "a";
  while (dots.size() + 2 < limits::kDocumentBytes - 40) dots += ".a";
  EXPECT_EQ(complaint("\n\n" + dots + " = 1"), "f:3:1: nested too deep.");
  EXPECT_EQ(complaint("[" + dots + "]"), "f:1:1: nested too deep.");
  // Quotes that close later than a careless reader thinks hide nothing.
  EXPECT_EQ(complaint("x = \"\"\"a\"\"\"\"\"\n" + dots + " = 1"), "f:2:1: nested too deep.");
  EXPECT_EQ(complaint("x = '''a'''''\n" + dots + " = 1"), "f:2:1: nested too deep.");
  EXPECT_EQ(complaint("x = 'a\\'\n" + dots + " = 1"), "f:2:1: nested too deep.");
  EXPECT_EQ(complaint("x = \"a\n" + dots + " = 1"), "f:2:1: nested too deep.");
}

TEST(Config, DotsInStringsAndCommentsAreFine) {
  const std::string dots(5'000, '.');
  EXPECT_EQ(complaint("# " + dots + "\ndata_dir = '" + dots + "'"), "");
}

TEST(Config, BracketsNestOnlySoDeep) {
  EXPECT_EQ(complaint("a = " + std::string(500'000, '[')), "f:1:1: nested too deep.");
  EXPECT_EQ(complaint("a = {b = " + std::string(100, '[') + std::string(100, ']') + "}"),
            "f:1:1: nested too deep.");
}

TEST(Config, TheLongestDocumentIsAMebibyte) {
  EXPECT_EQ(complaint(std::string(limits::kDocumentBytes, '\n')), "");
  EXPECT_EQ(complaint(std::string(limits::kDocumentBytes + 1, '\n')),
            "f:1:1: the document is longer than 1MiB.");
}

TEST(Config, AHundredProblemsAreEnough) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "key" + std::to_string(i) + " = 1\n";
  const std::string message = complaint(text);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 100);
  EXPECT_TRUE(message.ends_with("\nand 9900 more"));
}

TEST(Config, DamagedDocumentsNeverCrash) {
  const std::uint64_t seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::string example = read_example();
  constexpr std::string_view kPieces[] = {"[",      "]",    "{",  "}",     "\"",  "'",
                                          "\"\"\"", "'''",  ".",  "=",     "\n",  "#",
                                          "\\",     "\xff", "\0", "1e999", "nan", "[[task]]"};
  for (int i = 0; i < 600; ++i) {
    std::string text = example;
    for (std::uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 40);
          break;
        default:
          text.insert(at, kPieces[random() % std::size(kPieces)]);
      }
    }
    const auto config = parse_config(text, "f");
    if (config.ok()) {
      for (const TaskConfig& task : config->tasks) {
        ASSERT_TRUE(parse_task(task.text, "f").ok()) << task.text;
      }
    } else {
      ASSERT_TRUE(config.status().message().starts_with("f:")) << config.status().message();
    }
  }
}

}  // namespace
}  // namespace muster::server
