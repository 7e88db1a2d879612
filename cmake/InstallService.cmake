# SPDX-License-Identifier: Apache-2.0
# Run at the installation, which alone knows the prefix (cmake --install --prefix, the package's /usr): the unit that names
# the daemon where it is, and the file of options, unless there is one.
# SOURCE and BINARY: directories; SBINDIR: the daemon's, below the prefix or absolute.
cmake_path(ABSOLUTE_PATH SBINDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX})
configure_file(${SOURCE}/shuntd.service.in ${BINARY}/shuntd.service @ONLY)
file(INSTALL ${BINARY}/shuntd.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
if(NOT EXISTS $ENV{DESTDIR}/etc/default/shunt)
  file(INSTALL ${SOURCE}/default DESTINATION /etc/default RENAME shunt)
endif()
