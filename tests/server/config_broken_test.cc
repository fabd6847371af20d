// Broken configurations and the exact words about them.
#include <gtest/gtest.h>

#include "server/config.h"

namespace muster::server {
namespace {

#define TASK "[[task]]\nname = 'a'\ndimension = 9\n"

struct Broken {
  const char* name;
  const char* text;
  const char* message;
};

constexpr Broken kBroken[] = {
    {"AKeyNobodyKnows", "data_dri = 'x'",
     "f:1:1: key 'data_dri': there is no such key. (Did you mean 'data_dir'?)"},
    {"AKeyFarFromAll", "qwertyuiop = 1", "f:1:1: key 'qwertyuiop': there is no such key."},
    {"ASectionNobodyKnows", "[ingets]\nslab = '1MiB'",
     "f:1:2: key 'ingets': there is no such key. (Did you mean 'ingest'?)"},
    {"AMisspeltKeyInASection", "[ingest]\n\n  slabb = '64MiB'",
     "f:3:3: key 'ingest.slabb': there is no such key. (Did you mean 'slab'?)"},
    {"AKeyOfAnotherSection", "[log]\nsegment = '64MiB'",
     "f:2:1: key 'log.segment': there is no such key. (It belongs to [spool].)"},
    {"ATopLevelKeyBelowATable", "[log]\ndrain_grace = '1s'",
     "f:2:1: key 'log.drain_grace': there is no such key. (It belongs above the first table.)"},
    {"ATableInsideASection", "[spool.deep.deeper]\nx = 1",
     "f:1:8: key 'spool.deep': there is no such key."},
    {"AnUnprintableKey", "\"\\u0007\\n\" = 1", "f:1:1: key '\\x07\\x0a': there is no such key."},
    {"NotToml", "data_dir = ",
     "f:1:12: not TOML: Error while parsing key-value pair: encountered end-of-file."},
    {"NotUtf8", "data_dir = '\xff'", "f:1:12: not TOML: Encountered invalid utf-8 sequence."},
    {"AKeyTwice", "data_dir = 'a'\ndata_dir = 'b'",
     "f:2:12: not TOML: Error while parsing key-value pair: cannot redefine existing string "
     "'data_dir'."},
    {"ATableThatIsAValue", "ingest = 3",
     "f:1:10: key 'ingest': expected a table, found an integer."},
    {"AnIntegerForAString", "data_dir = 3",
     "f:1:12: key 'data_dir': expected a string, found an integer."},
    {"AnEmptyDirectory", "data_dir = ''", "f:1:12: key 'data_dir': is empty."},
    {"AStringForABoolean", "[spool]\naccept_quarantine = 'yes'",
     "f:2:21: key 'spool.accept_quarantine': expected true or false, found a string."},
    {"AStringForAnInteger", "[ingest]\nio_threads = '2'",
     "f:2:14: key 'ingest.io_threads': expected an integer, found a string."},
    {"AFloatForAnInteger", "[ingest]\nio_threads = 2.0",
     "f:2:14: key 'ingest.io_threads': expected an integer, found a float."},
    {"AnIntegerOutOfRange", "[ingest]\nio_threads = 0",
     "f:2:14: key 'ingest.io_threads': 0 is not between 1 and 64."},
    {"ABareSize", "[ingest]\nslab = 64",
     "f:2:8: key 'ingest.slab': 64 has no unit: write a string, \"64MiB\"."},
    {"ASizeWithAWrongUnit", "[ingest]\nslab = '64Mib'",
     "f:2:8: key 'ingest.slab': \"64Mib\" is not a size: write a whole number and a unit, such as "
     "\"64MiB\"; units are B kB MB GB TB KiB MiB GiB TiB."},
    {"ASizeTooSmall", "[ingest]\nslab = '64KiB'",
     "f:2:8: key 'ingest.slab': 64KiB is not between 1MiB and 1TiB."},
    {"ABooleanForASize", "[spool]\nsegment = true",
     "f:2:11: key 'spool.segment': expected a size such as \"64MiB\", found a boolean."},
    {"ABareDuration", "drain_grace = 20",
     "f:1:15: key 'drain_grace': 20 has no unit: write a string, \"250ms\"."},
    {"ADurationTooLong", "[ingest]\ncommit_window = '2s'",
     "f:2:17: key 'ingest.commit_window': 2s is not between 0ns and 1s."},
    {"ADurationWithASizeUnit", "drain_grace = '20MiB'",
     "f:1:15: key 'drain_grace': \"20MiB\" is not a duration: write a whole number and a unit, "
     "such as \"250ms\"; units are ns us ms s m h."},
    {"AnArrayForADuration", "drain_grace = ['20s']",
     "f:1:15: key 'drain_grace': expected a duration such as \"250ms\", found an array."},
    {"AnUnknownChoice", "[backend]\nkind = 'cpuu'",
     "f:2:8: key 'backend.kind': \"cpuu\" is none of auto, cpu, cuda. (Did you mean 'cpu'?)"},
    {"AnUnknownSecurity", "[ingest]\nsecurity = 'tls'",
     "f:2:12: key 'ingest.security': \"tls\" is none of curve, plain."},
    {"AnUnknownLevel", "[log]\nlevel = 'warn'",
     "f:2:9: key 'log.level': \"warn\" is none of debug, info, warning, error. (Did you mean "
     "'warning'?)"},
    {"AnEndpointWithoutAPort", "[ingest]\nlisten = 'tcp://127.0.0.1'",
     "f:2:10: key 'ingest.listen': \"tcp://127.0.0.1\" has no port."},
    {"AnEndpointOfAnotherKind", "[ingest]\nlisten = 'http://127.0.0.1:80'",
     "f:2:10: key 'ingest.listen': \"http://127.0.0.1:80\" is not \"tcp://HOST:PORT\"."},
    {"APortTooLarge", "[ingest]\nlisten = ['tcp://127.0.0.1:7400', 'tcp://127.0.0.1:65536']",
     "f:2:10: key 'ingest.listen': \"tcp://127.0.0.1:65536\" has a port that is not 0 to 65535."},
    {"AnUnbracketedAddress", "[ingest]\nlisten = 'tcp://::1:7400'",
     "f:2:10: key 'ingest.listen': \"tcp://::1:7400\" has no host before the port (IPv6 addresses "
     "need brackets)."},
    {"AnEmptyListOfAddresses", "[ingest]\nlisten = []",
     "f:2:10: key 'ingest.listen': is an empty array."},
    {"AMixedListOfAddresses", "[ingest]\nlisten = ['tcp://127.0.0.1:1', 2]",
     "f:2:10: key 'ingest.listen': expected strings in the array, found an integer."},
    {"PlainToTheWorld", "[ingest]\nlisten = 'tcp://0.0.0.0:7400'\nsecurity = 'plain'",
     "f:3:12: key 'ingest.security': plain on \"tcp://0.0.0.0:7400\" would let anyone claim any "
     "identity; use curve, listen on loopback, or set allow_plain_anywhere = true."},
    {"AMonitoringAddressWithoutAPort", "[monitoring]\nlisten = 'localhost'",
     "f:2:10: key 'monitoring.listen': \"localhost\" is not \"HOST:PORT\"."},
    {"AMonitoringAddressWithAScheme", "[monitoring]\nlisten = 'tcp://127.0.0.1:9400'",
     "f:2:10: key 'monitoring.listen': \"tcp://127.0.0.1:9400\" has no host before the port (IPv6 "
     "addresses need brackets)."},
    {"ASingleTask", "[task]\nname = 'a'",
     "f:1:1: key 'task': expected tables, each under [[task]], found a table."},
    {"ATaskWithoutAnything", "[[task]]",
     "f:1:1: key 'task.name': a task needs a name.\nf:1:1: key 'task.dimension': a task needs "
     "dimension (a fresh model) or model (a file)."},
    {"ATaskNameWithSlashes", "[[task]]\nname = '../a'\ndimension = 9",
     "f:2:8: key 'task.name': \"../a\" is not 1 to 64 characters of a-z, 0-9, _ and -."},
    {"TwoTasksOfOneName",
     "[[task]]\nname = 'a'\ndimension = 9\n[[task]]\nname = 'a'\ndimension = 9\n",
     "f:5:8: key 'task.name': another task has this name."},
    {"AModelAndADimension", TASK "model = 'x'",
     "f:4:9: key 'task.model': give dimension (a fresh model) or model (a file), not both."},
    {"ADimensionBeyondAnyModel", "[[task]]\nname = 'a'\ndimension = 99999999999999",
     "f:3:13: key 'task.dimension': 99999999999999 is not between 1 and 17179869184."},
    {"AnUnknownCodec", TASK "codec = 'i8'",
     "f:4:9: key 'task.codec': \"i8\" is none of f32, f16, bf16, i8b, i8s. (Did you mean 'i8b'?)"},
    {"ABlockThatIsNoPowerOfTwo", TASK "block = 100",
     "f:4:9: key 'task.block': 100 is not a power of two."},
    {"ABlockTooSmall", TASK "block = 8", "f:4:9: key 'task.block': 8 is not between 16 and 65536."},
    {"AChunkThatCutsABlock", TASK "chunk_coordinates = 1000",
     "f:4:21: key 'task.chunk_coordinates': 1000 is not a multiple of block (256)."},
    {"AChunkTooLarge", TASK "chunk_coordinates = 300000",
     "f:4:21: key 'task.chunk_coordinates': 300000 is not between 64 and 262144."},
    {"TooManyChunks", "[[task]]\nname = 'a'\ndimension = 10000000000\nchunk_coordinates = 65536",
     "f:4:21: key 'task.chunk_coordinates': an update would be more than 65536 chunks; take larger "
     "ones."},
    {"AnUnknownRule", TASK "rule = 'medain'",
     "f:4:8: key 'task.rule': there is no rule \"medain\"; did you mean \"mean\"?."},
    {"ARuleWithoutItsParameter", TASK "rule = 'krum'",
     "f:4:8: key 'task.rule': krum needs f or byzantine_share."},
    {"AParameterOfAnotherRule", TASK "f = 2", "f:1:1: key 'task.rule': mean takes no f."},
    {"AShareOfHalf", TASK "rule = 'trimmed_mean'\nbyzantine_share = 0.5",
     "f:4:8: key 'task.rule': trimmed_mean byzantine_share must be in [0, 0.5), it is 0.500000."},
    {"APreStepWithoutItsParameter", TASK "rule = 'median'\npre_steps = ['nnm']",
     "f:5:13: key 'task.pre_steps': nnm needs f or byzantine_share, for median has none: write "
     "nnm(f=...)"},
    {"AnUnknownWayWithInvalidUpdates", TASK "invalid_updates = 'ignore'",
     "f:4:19: key 'task.invalid_updates': \"ignore\" is none of reject, zero."},
    {"ACohortTooSmallBehindBuckets",
     TASK "rule = 'krum'\nf = 2\npre_steps = 'bucketing(s=2)'\nminimum_cohort = 12",
     "f:7:18: key 'task.minimum_cohort': bucketing(s=2), then krum(f=2, neighbours=n-f-2) with f = "
     "2 "
     "needs a cohort of 13, a round may have 12."},
    {"ACohortTooSmallForTheRule", TASK "rule = 'krum'\nf = 20",
     "f:1:1: key 'task.minimum_cohort': krum(f=20, neighbours=n-f-2) with f = 20 needs a cohort of "
     "43, a round may have 10."},
    {"AMinimumAboveTheTarget", TASK "target_cohort = 5\nminimum_cohort = 6",
     "f:5:18: key 'task.minimum_cohort': 6 is above target_cohort (5)."},
    {"ADefaultMinimumAboveTheTarget", TASK "target_cohort = 5",
     "f:1:1: key 'task.minimum_cohort': 10 (the default) is above target_cohort (5)."},
    {"SelectingTooFew", TASK "over_selection = 0.9",
     "f:4:18: key 'task.over_selection': must be from 1 to 10."},
    {"SelectingInfinitelyMany", TASK "over_selection = inf",
     "f:4:18: key 'task.over_selection': must be finite."},
    {"ANegativeLearningRate", TASK "learning_rate = -1",
     "f:4:17: key 'task.learning_rate': learning_rate must be a positive number, it is -1.000000."},
    {"ABetaOfOne", TASK "beta1 = 1",
     "f:4:9: key 'task.beta1': beta1 must be in [0, 1), it is 1.000000."},
    {"AnUnknownOptimiser", TASK "optimiser = 'adamw'",
     "f:4:13: key 'task.optimiser': \"adamw\" is none of sgd, momentum, adam, yogi, adagrad. (Did "
     "you mean "
     "'adam'?)"},
    {"AValueBoundOfZero", TASK "value_bound = 0",
     "f:4:15: key 'task.value_bound': must be above 0 and at most 1000000."},
    {"ABareDeadline", TASK "deadline = 60",
     "f:4:12: key 'task.deadline': 60 has no unit: write a string, \"250ms\"."},
    {"KeepingNoModels", TASK "keep_models = 0",
     "f:4:15: key 'task.keep_models': 0 is not between 1 and 1000000."},
    {"ADateForANumber", TASK "rounds = 2026-01-01",
     "f:4:10: key 'task.rounds': expected an integer, found a date."},
    {"AllAtOnce",
     "b = 1\n[log]\nlevel = 3\n[ingest]\nslab = 1\nsecurty = 'curve'\n[spool]\nsegment = '1GB2'",
     "f:1:1: key 'b': there is no such key. (Did you mean 'backend'?)\nf:3:9: key 'log.level': "
     "expected a string, found an integer.\nf:5:8: key 'ingest.slab': 1 has no unit: write a "
     "string, \"64MiB\".\nf:6:1: key 'ingest.securty': there is no such key. (Did you mean "
     "'security'?)\nf:8:11: key 'spool.segment': \"1GB2\" is not a size: write a whole number and "
     "a unit, such as \"64MiB\"; units are B kB MB GB TB KiB MiB GiB TiB."},
};
#undef TASK

class BrokenConfig : public testing::TestWithParam<Broken> {};

TEST_P(BrokenConfig, IsRefusedInTheseWords) {
  const auto config = parse_config(GetParam().text, "f");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), Code::kInvalid);
  EXPECT_EQ(config.status().reason(), "config_invalid");
  EXPECT_EQ(config.status().message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Documents, BrokenConfig, testing::ValuesIn(kBroken),
                         [](const auto& broken) { return std::string(broken.param.name); });

TEST(BrokenTask, NamesItsKeysWithoutASection) {
  const auto task = parse_task("nmae = 'a'\nname = 'b'\ndimension = 1\nblock = 1", "t.toml");
  EXPECT_EQ(task.status().message(),
            "t.toml:1:1: key 'nmae': there is no such key. (Did you mean 'name'?)\n"
            "t.toml:4:9: key 'block': 1 is not between 16 and 65536.");
}

}  // namespace
}  // namespace muster::server
