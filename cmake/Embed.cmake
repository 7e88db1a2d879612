# SPDX-License-Identifier: Apache-2.0
# shunt_embed(TARGET FILE NAME): a header of FILE's bytes as `constexpr unsigned char NAME[]`, for TARGET to include:
# page.html -> page_html.h. Run as a script (cmake -P) it writes that header.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  file(WRITE ${OUTPUT} "#pragma once\nconstexpr unsigned char ${NAME}[] = {${bytes}};\n")
  return()
endif()

set(SHUNT_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(shunt_embed target file name)
  get_filename_component(base ${file} NAME)
  string(REPLACE "." "_" base ${base})
  set(directory ${PROJECT_BINARY_DIR}/embedded)
  set(header ${directory}/${base}.h)
  file(MAKE_DIRECTORY ${directory})
  add_custom_command(OUTPUT ${header}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${PROJECT_SOURCE_DIR}/${file} -DOUTPUT=${header} -DNAME=${name} -P ${SHUNT_EMBED_SCRIPT}
    DEPENDS ${file} ${SHUNT_EMBED_SCRIPT} COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE ${header})
  target_include_directories(${target} PRIVATE ${directory})
endfunction()
