# The CUDA emulator tests/gpusim/: programs and plug-ins built to run under it, and their tests
# (docs/gpusim.md). Everything the `cuda` preset builds hangs on the target cuda_checks; every test
# it runs has the label `cuda`.

find_package(CUDAToolkit REQUIRED)
find_package(fmt REQUIRED)
add_custom_target(cuda_checks)
add_custom_target(gpusim)  # the emulator's libraries
add_dependencies(cuda_checks gpusim)

# The emulator's libraries, the plug-in built for it, and the programs that use either: put it first
# in LD_LIBRARY_PATH.
set(MUSTER_GPUSIM_FOLDER ${CMAKE_BINARY_DIR}/gpusim)
set(MUSTER_GPUSIM_SEEDS 0 1 2 3 4 5 6 7)

# muster_gpusim_library(TARGET FILE file VERSION node EXPORTS patterns... LIBRARIES libs...): the
# *.cc of this folder as a library that stands in for the real one of that file name.
function(muster_gpusim_library target)
  cmake_parse_arguments(ARG "" "FILE;VERSION" "EXPORTS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  add_library(${target} SHARED ${sources})
  # A version node of the real library's name, so that programs linked against it are content;
  # nothing but the interface leaves the library.
  set(map ${CMAKE_CURRENT_BINARY_DIR}/${target}.map)
  list(JOIN ARG_EXPORTS "; " exports)
  file(CONFIGURE OUTPUT ${map} CONTENT "${ARG_VERSION} { global: ${exports}; local: *; };\n")
  cmake_path(GET ARG_FILE STEM LAST_ONLY stem)
  cmake_path(GET ARG_FILE EXTENSION LAST_ONLY suffix)
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME ${stem} SUFFIX ${suffix} LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${MUSTER_GPUSIM_FOLDER} BUILD_RPATH "\$ORIGIN")
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(${target} PRIVATE muster_options fmt::fmt ${ARG_LIBRARIES})
  target_link_options(${target} PRIVATE -Wl,--version-script=${map})
  add_dependencies(gpusim ${target})
endfunction()

# muster_gpusim_target(NAME [ARCH 90]): the target's device code as plain PTX with line numbers and
# its CUDA runtime as a library, so that the emulator can stand in. The program finds no CUDA
# library but by LD_LIBRARY_PATH.
function(muster_gpusim_target name)
  cmake_parse_arguments(ARG "" "ARCH" "" ${ARGN})
  if(NOT ARG_ARCH)
    set(ARG_ARCH 90)
  endif()
  set_target_properties(${name} PROPERTIES
    CUDA_ARCHITECTURES ${ARG_ARCH}-virtual CUDA_RUNTIME_LIBRARY Shared SKIP_BUILD_RPATH ON
    RUNTIME_OUTPUT_DIRECTORY ${MUSTER_GPUSIM_FOLDER} LIBRARY_OUTPUT_DIRECTORY ${MUSTER_GPUSIM_FOLDER})
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--no-compress -lineinfo>)
  target_link_libraries(${name} PRIVATE CUDA::cudart)
  target_link_options(${name} PRIVATE -Wl,--allow-shlib-undefined)
  add_dependencies(cuda_checks ${name})
endfunction()

# muster_gpusim_run(TEST COMMAND target args... [SEEDS 0 1 ...] [DEVICES 1 2 ...]
#                   [ENVIRONMENT VAR=x ...] [LABELS ...] [TIMEOUT s]): a test TEST.seedS (or
# TEST.seedS.gpusN, where DEVICES are given) for each seed and number of devices, labelled `cuda`.
function(muster_gpusim_run test)
  cmake_parse_arguments(ARG "" "TIMEOUT" "COMMAND;SEEDS;DEVICES;ENVIRONMENT;LABELS" ${ARGN})
  if(NOT DEFINED ARG_SEEDS)
    set(ARG_SEEDS ${MUSTER_GPUSIM_SEEDS})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(ARG_DEVICES)
    set(counts ${ARG_DEVICES})
  else()
    set(counts 1)
  endif()
  foreach(seed IN LISTS ARG_SEEDS)
    foreach(devices IN LISTS counts)
      set(full ${test}.seed${seed})
      if(ARG_DEVICES)
        string(APPEND full .gpus${devices})
      endif()
      add_test(NAME ${full} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
      set_tests_properties(${full} PROPERTIES
        LABELS "cuda;${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
        ENVIRONMENT "LD_LIBRARY_PATH=${MUSTER_GPUSIM_FOLDER};GPUSIM_SEED=${seed};GPUSIM_DEVICES=${devices};${ARG_ENVIRONMENT}")
    endforeach()
  endforeach()
endfunction()

# muster_gpusim_test(NAME SOURCES files... [LIBRARIES libs...] [ARCH 90] [ARGS ...] and the options
# of muster_gpusim_run): a GoogleTest program of .cu and .cc files, run under the emulator.
function(muster_gpusim_test name)
  cmake_parse_arguments(ARG "" "ARCH;TIMEOUT" "SOURCES;LIBRARIES;ARGS;SEEDS;DEVICES;ENVIRONMENT;LABELS" ${ARGN})
  muster_program(${name} SOURCES ${ARG_SOURCES} LIBRARIES ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  muster_gpusim_target(${name} ARCH ${ARG_ARCH})
  foreach(option SEEDS DEVICES ENVIRONMENT LABELS TIMEOUT)
    if(DEFINED ARG_${option})
      list(APPEND passed_on ${option} ${ARG_${option}})
    endif()
  endforeach()
  muster_gpusim_run(${name} COMMAND ${name} ${ARG_ARGS} ${passed_on})
endfunction()
