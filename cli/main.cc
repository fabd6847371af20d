#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "cli/commands.h"

int main(int argc, char** argv) {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const char* no_color = std::getenv("NO_COLOR");
  const muster::cli::Surroundings surroundings{
      std::cout, std::cerr, self.parent_path().string(),
      ::isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0')};
  return muster::cli::run({argv + 1, argv + argc}, surroundings);
}
