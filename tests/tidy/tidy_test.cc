// The rules of the house that a machine can check: who may include whom, which foreign library
// belongs where, and the formatting.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
const fs::path kRoot = MUSTER_SOURCE_DIR;

// docs/architecture.md, table of rooms: room -> rooms it may include.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"base", {}},
    {"wire", {"base"}},
    {"kernels", {"base"}},
    {"robust_agg", {"base", "kernels/backend.h"}},
    {"privacy", {"base", "kernels/backend.h"}},
    {"ingest", {"base", "wire"}},
    {"monitoring", {"base"}},
    {"server", {"base", "wire", "kernels", "robust_agg", "privacy", "ingest", "monitoring"}},
    {"client", {"base", "wire"}},
    {"loadtest", {"base", "wire", "client"}},
    {"cli",
     {"base", "wire", "client", "loadtest", "robust_agg", "privacy", "server/config_reader.h"}},
};

// Foreign headers -> the rooms that own them ("room" or "room/folder").
const std::vector<std::pair<std::regex, std::set<std::string>>> kForeign = {
    {std::regex("flatbuffers/.*|.*_generated\\.h"), {"wire"}},
    {std::regex("xx?h.*\\.h"), {"base"}},
    {std::regex("spdlog/.*"), {"base"}},
    {std::regex("zmq\\.h(pp)?"), {"ingest", "client", "loadtest"}},
    {std::regex("sodium\\.h"), {"ingest", "privacy"}},
    {std::regex("zstd\\.h"), {"ingest", "client"}},
    {std::regex("prometheus/.*"), {"monitoring"}},
    {std::regex("microhttpd\\.h"), {"monitoring"}},
    {std::regex("sqlite3\\.h"), {"server"}},
    {std::regex("toml\\+\\+/.*|toml\\+\\+\\.h"), {"server"}},
    {std::regex("CLI/.*"), {"server", "cli"}},
    {std::regex("curl/.*"), {"cli"}},
    {std::regex("archive.*\\.h"), {"cli"}},
    {std::regex("nlohmann/.*"), {"server", "cli", "monitoring"}},
    {std::regex("cuda.*|cublas.*|nccl.*"), {"kernels/cuda"}},
    {std::regex("cblas.*|openblas.*"), {"kernels/cpu"}},
    {std::regex("immintrin\\.h|arm_neon\\.h"), {"kernels/cpu"}},
    {std::regex("mpi\\.h"), {"kernels"}},
    {std::regex("iostream"), {"cli"}},  // a static constructor in every file that has it
};

struct Include {
  int line;
  std::string path;
  bool quoted;
};

std::vector<Include> includes_of(const fs::path& file) {
  std::vector<Include> includes;
  static const std::regex pattern("^\\s*#\\s*include\\s*([<\"])([^>\"]+)[>\"].*");
  std::ifstream stream(file);
  std::string text;
  for (int line = 1; std::getline(stream, text); ++line) {
    std::smatch match;
    if (std::regex_match(text, match, pattern))
      includes.push_back({line, match[2], match[1] == "\""});
  }
  return includes;
}

std::vector<fs::path> sources(const std::string& folder) {
  std::vector<fs::path> files;
  if (!fs::exists(kRoot / folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
    const auto extension = entry.path().extension();
    if (entry.is_regular_file() &&
        (extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh"))
      files.push_back(entry.path());
  }
  return files;
}

bool may_include(const std::set<std::string>& allowed, const std::string& path) {
  for (const auto& entry : allowed)
    if (path == entry || path.rfind(std::string(entry).append("/"), 0) == 0) return true;
  return false;
}

TEST(Tidy, RoomsIncludeOnlyWhatTheTableAllows) {
  for (const auto& [room, allowed] : kMayInclude) {
    for (const auto& file : sources(room)) {
      for (const auto& include : includes_of(file)) {
        if (!include.quoted || include.path.find('/') == std::string::npos) continue;
        const std::string target = include.path.substr(0, include.path.find('/'));
        if (target == room || !kMayInclude.contains(target)) continue;
        EXPECT_TRUE(may_include(allowed, include.path))
            << fs::relative(file, kRoot).string() << ":" << include.line << ": " << room
            << "/ may not include " << include.path;
      }
    }
  }
}

TEST(Tidy, ForeignLibrariesStayInTheirRooms) {
  for (const auto& [room, allowed] : kMayInclude) {
    for (const auto& file : sources(room)) {
      const std::string where = fs::relative(file, kRoot).string();
      for (const auto& include : includes_of(file)) {
        for (const auto& [pattern, owners] : kForeign) {
          if (!std::regex_match(include.path, pattern)) continue;
          bool owned = false;
          for (const auto& owner : owners)
            owned = owned || where.rfind(std::string(owner).append("/"), 0) == 0;
          EXPECT_TRUE(owned) << where << ":" << include.line << ": " << include.path
                             << " does not belong here";
        }
      }
    }
  }
}

TEST(Tidy, DiskIsTouchedOnlyThroughStorage) {
  // std::filesystem may name and find things; writing goes through base/storage.h.
  const std::regex banned(
      "(^|[^A-Za-z0-9_])::(open|pwrite|write|fsync|fdatasync|rename|unlink)\\(|fopen\\(|"
      "std::ofstream");
  for (const std::string room : {"wire", "robust_agg", "privacy", "ingest", "server", "kernels"}) {
    for (const auto& file : sources(room)) {
      std::ifstream stream(file);
      std::string text;
      for (int line = 1; std::getline(stream, text); ++line) {
        if (text.find("NOLINT(disk)") != std::string::npos) continue;  // with its reason beside it
        EXPECT_FALSE(std::regex_search(text, banned))
            << fs::relative(file, kRoot).string() << ":" << line << ": " << text;
      }
    }
  }
}

TEST(Tidy, HeadersHavePragmaOnceAndAComment) {
  for (const auto& [room, allowed] : kMayInclude) {
    for (const auto& file : sources(room)) {
      if (file.extension() != ".h" && file.extension() != ".cuh") continue;
      std::ifstream stream(file);
      std::stringstream text;
      text << stream.rdbuf();
      EXPECT_NE(text.str().find("#pragma once"), std::string::npos) << file;
      EXPECT_EQ(text.str().rfind("//", 0), 0u) << file << ": starts with what the room gets here";
    }
  }
}

std::string run(const std::string& command, int* exit_code) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot run " + command;
  char buffer[4096];
  while (const std::size_t n = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  *exit_code = pclose(pipe);
  return output;
}

TEST(Tidy, EverythingIsFormatted) {
  int missing = 0;
  const std::string version = run("clang-format --version", &missing);
  ASSERT_EQ(missing, 0) << "clang-format is needed: scripts/setup installs it";
  std::string files;
  for (const std::string folder :
       {"base", "wire", "kernels", "robust_agg", "privacy", "ingest", "monitoring", "server",
        "client", "loadtest", "cli", "tests", "examples"})
    for (const auto& file : sources(folder)) files.append(" ").append(file.string());
  int exit_code = 0;
  const std::string report =
      run("clang-format --dry-run --Werror --ferror-limit=3" + files, &exit_code);
  EXPECT_EQ(exit_code, 0) << report.substr(0, 4000) << "\nscripts/format mends this.";
}

}  // namespace
