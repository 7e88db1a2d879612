# SPDX-License-Identifier: Apache-2.0
# BPF objects: clang's BPF target, dependencies tracked, a libbpf skeleton for each.
#
# shunt_bpf_object(NAME SOURCE [FRAME]) makes ${build}/bpf/NAME.bpf.o and NAME.skel.h, and the target bpf_NAME. FRAME: bytes of
# stack that its largest function may take. Linux 6.1 refuses a program that takes more than 512 with all that it calls.
find_program(BPF_CLANG NAMES clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 clang REQUIRED)
find_program(BPFTOOL bpftool REQUIRED HINTS /usr/sbin)
set(SHUNT_BPF_DIR ${PROJECT_BINARY_DIR}/bpf)
file(MAKE_DIRECTORY ${SHUNT_BPF_DIR})
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-multiarch OUTPUT_VARIABLE SHUNT_MULTIARCH OUTPUT_STRIP_TRAILING_WHITESPACE)

function(shunt_bpf_object name source)
  set(object ${SHUNT_BPF_DIR}/${name}.bpf.o)
  set(frame ${ARGN})
  if(frame AND SHUNT_WERROR)
    set(frame_limit -Wframe-larger-than=${frame} -Werror=frame-larger-than)
  endif()
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
            -Wno-address-of-packed-member ${frame_limit}
            -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=.
            -I${PROJECT_SOURCE_DIR} -I/usr/include/${SHUNT_MULTIARCH} -MD -MF ${object}.d -c ${PROJECT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${PROJECT_SOURCE_DIR}/${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}")
  add_custom_command(
    OUTPUT ${SHUNT_BPF_DIR}/${name}.skel.h
    COMMAND ${BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${SHUNT_BPF_DIR}/${name}.skel.h
    DEPENDS ${object})
  add_custom_target(bpf_${name}_files DEPENDS ${SHUNT_BPF_DIR}/${name}.skel.h)
  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_files)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${SHUNT_BPF_DIR})
endfunction()

shunt_bpf_object(switch bpf/switch.bpf.c 256)
shunt_bpf_object(tc bpf/tc.bpf.c)
