# Which GPUs the kernels are compiled for, in CMake's words: "90-real" is machine code for compute
# capability 9.0, "90-virtual" is PTX, which the driver compiles for later GPUs when it first runs
# there, and "90" is both.

# The architectures that nvcc knows and tagix serves, as numbers; none where nvcc does not say.
function(tagix_known_architectures nvcc result)
  execute_process(COMMAND ${nvcc} --list-gpu-arch OUTPUT_VARIABLE output ERROR_QUIET)
  string(REGEX MATCHALL "compute_[0-9]+" listed "${output}")
  list(REMOVE_DUPLICATES listed)
  list(SORT listed COMPARE NATURAL)
  set(known "")
  foreach(name IN LISTS listed)
    string(REPLACE compute_ "" number ${name})
    if(number GREATER_EQUAL 75)
      list(APPEND known ${number})
    endif()
  endforeach()
  set(${result} "${known}" PARENT_SCOPE)
endfunction()

# The architectures of the GPUs in `native`, which is CMAKE_CUDA_ARCHITECTURES_NATIVE: a list where
# CMake found any, else nothing, or the words of the program that looked for them.
function(tagix_native_architectures known native result)
  set(chosen "")
  foreach(gpu IN LISTS native)
    if(NOT gpu MATCHES "^([0-9]+)(-real)?$" OR CMAKE_MATCH_1 LESS 75)
      continue()
    endif()
    set(own ${CMAKE_MATCH_1})
    if(NOT known OR own IN_LIST known)
      list(APPEND chosen ${own}-real)
      continue()
    endif()
    # Newer than nvcc: PTX of the newest architecture that it can run.
    set(newest "")
    foreach(number IN LISTS known)
      if(number LESS own)
        set(newest ${number})
      endif()
    endforeach()
    list(APPEND chosen ${newest})
  endforeach()
  list(REMOVE_DUPLICATES chosen)
  set(${result} "${chosen}" PARENT_SCOPE)
endfunction()

# What is compiled where no GPU is found: what every GPU can run, if not at its best. nvcc takes a
# third of a minute for each architecture of the two, and several minutes for all.
function(tagix_portable_architectures known result)
  set(chosen 75-virtual 80)
  if(known AND NOT 75 IN_LIST known)
    set(chosen 80)
  endif()
  set(${result} "${chosen}" PARENT_SCOPE)
endfunction()

# Replaces "all", "all-major" (one of each generation, and the oldest) and "native" by a list, so
# that the build can say what is in it. The newest of all comes with PTX for those to come.
function(tagix_expand_architectures asked known native result)
  set(chosen "${asked}")
  if(asked STREQUAL "native")
    tagix_native_architectures("${known}" "${native}" chosen)
    if(NOT chosen)
      message(FATAL_ERROR "The CUDA architectures are to be those of the GPUs here (native), but no "
                          "GPU of compute capability 7.5 or later was found")
    endif()
  elseif(asked MATCHES "^all(-major)?$" AND known)
    list(GET known 0 oldest)
    list(GET known -1 newest)
    set(chosen "")
    foreach(number IN LISTS known)
      if(asked STREQUAL "all" OR number EQUAL oldest OR number MATCHES "0$")
        list(APPEND chosen ${number}-real)
        set(newest ${number})
      endif()
    endforeach()
    list(APPEND chosen ${newest}-virtual)
  endif()
  set(${result} "${chosen}" PARENT_SCOPE)
endfunction()

# Makes nvcc a compiler of the project, with CMAKE_CUDA_ARCHITECTURES as it was set, else as the
# environment's CUDAARCHS says, else for the GPUs that are there, else portable. A CUDAARCHS that
# differs from one in an earlier run of CMake takes its place.
macro(tagix_enable_cuda)
  if(NOT "$ENV{CUDAARCHS}" STREQUAL ""
     AND (NOT DEFINED CMAKE_CUDA_ARCHITECTURES
          OR "${CMAKE_CUDA_ARCHITECTURES}" STREQUAL "${TAGIX_ARCHITECTURES_WERE}"))
    set(CMAKE_CUDA_ARCHITECTURES "$ENV{CUDAARCHS}" CACHE STRING "CUDA architectures" FORCE)
    set(TAGIX_ARCHITECTURES_WERE "$ENV{CUDAARCHS}" CACHE INTERNAL "not set by the user in the cache")
    set(TAGIX_ARCHITECTURES_NOTE "" CACHE INTERNAL "")
  endif()
  set(tagix_chooses FALSE)
  if("${CMAKE_CUDA_ARCHITECTURES}" STREQUAL "")
    set(tagix_chooses TRUE)
  endif()
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 and before do not know it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  endif()
  tagix_known_architectures(${CMAKE_CUDA_COMPILER} tagix_known)
  if(tagix_chooses)
    set(tagix_all "CUDAARCHS=all-major in the environment compiles for all GPUs")
    tagix_native_architectures("${tagix_known}" "${CMAKE_CUDA_ARCHITECTURES_NATIVE}" tagix_chosen)
    if(tagix_chosen)
      set(tagix_note "of the GPUs here. ${tagix_all}")
    else()
      tagix_portable_architectures("${tagix_known}" tagix_chosen)
      set(tagix_note
          "no GPU was found: most GPUs compile the kernels when they first run. ${tagix_all}")
    endif()
    set(CMAKE_CUDA_ARCHITECTURES "${tagix_chosen}" CACHE STRING "CUDA architectures" FORCE)
    set(TAGIX_ARCHITECTURES_WERE "${tagix_chosen}" CACHE INTERNAL "not set by the user in the cache")
    set(TAGIX_ARCHITECTURES_NOTE "; ${tagix_note}" CACHE INTERNAL "")
  endif()
  tagix_expand_architectures("${CMAKE_CUDA_ARCHITECTURES}" "${tagix_known}"
                             "${CMAKE_CUDA_ARCHITECTURES_NATIVE}" CMAKE_CUDA_ARCHITECTURES)
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " tagix_list)
  message(STATUS "tagix: CUDA architectures ${tagix_list}${TAGIX_ARCHITECTURES_NOTE}")
endmacro()
