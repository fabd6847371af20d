# What every folder uses: muster_library(), muster_program(), muster_test().
# A folder is one target; its sources are the *.cc files lying in it.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# Warnings, the arithmetic contract of docs/numerics.md, and the sanitizers of the preset.
add_library(muster_options INTERFACE)
target_include_directories(muster_options INTERFACE ${CMAKE_SOURCE_DIR})
# nvcc knows none of these: CUDA sources state their own.
target_compile_options(muster_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:\
-Wall;-Wextra;-Wconversion;-Wshadow;-Werror;-ffp-contract=off;-fno-math-errno;-fno-trapping-math>")
# The oldest x86-64 Muster supports has SSE4.2 and POPCNT; faster levels are chosen at run time.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
  target_compile_options(muster_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=x86-64-v2>)
endif()
target_compile_definitions(muster_options INTERFACE MUSTER_VERSION="${PROJECT_VERSION}")
target_link_libraries(muster_options INTERFACE Threads::Threads)
if(MUSTER_SANITIZER)
  # g++ 12 sees uninitialised variants where a sanitizer split a function; the cpu preset checks.
  target_compile_options(muster_options INTERFACE
    -fsanitize=${MUSTER_SANITIZER} -fno-sanitize-recover=all -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(muster_options INTERFACE -fsanitize=${MUSTER_SANITIZER})
endif()

# muster_library(NAME [PUBLIC libs...] [PRIVATE libs...]): the static library of this folder.
function(muster_library name)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC muster_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# muster_program(NAME SOURCES files... [LIBRARIES libs...]): an executable in <build>/bin.
function(muster_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE muster_options ${ARG_LIBRARIES})
endfunction()

# muster_test(NAME [LABELS labels...] [TIMEOUT s] LIBRARIES libs...): one GoogleTest program from
# this folder's *_test.cc, registered with ctest as one test.
function(muster_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;LIBRARIES;SOURCES;ARGS" ${ARGN})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS *_test.cc)
  endif()
  muster_program(${name} SOURCES ${ARG_SOURCES} LIBRARIES ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  # What may take longest begins first, so that no core waits for it at the end.
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT})
endfunction()
