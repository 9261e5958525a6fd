# cmake -D NM=<nm> -D OBJECTS=<object files> -P check_no_weak_symbols.cmake
#
# Fails if an object exports a weak or unique symbol (types W, V, w, v and u of nm): of several such
# copies the linker keeps any one, so that a function compiled for one instruction set could run on
# a processor that lacks it. Undefined weak references are not definitions and pass.

if(NOT OBJECTS)
  message(FATAL_ERROR "OBJECTS: got no object files")
endif()
foreach(object IN LISTS OBJECTS)
  execute_process(
    COMMAND ${NM} --defined-only ${object}
    OUTPUT_VARIABLE symbols
    COMMAND_ERROR_IS_FATAL ANY)
  if(NOT symbols MATCHES "kernels_")
    message(FATAL_ERROR "${object}: nm shows no table of kernels:\n${symbols}")
  endif()
  string(REGEX MATCHALL "[^\n]* [WVwvu] [^\n]*" weak "${symbols}")
  if(weak)
    list(JOIN weak "\n  " weak)
    message(FATAL_ERROR "${object} exports weak symbols:\n  ${weak}")
  endif()
endforeach()
