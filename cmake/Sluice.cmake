# The compiler's settings, and the one way to declare a layer, a test, a fuzz target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

add_compile_options(-fno-omit-frame-pointer -D_GNU_SOURCE)
if(SLUICE_SANITIZE)
	add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-sanitize-recover=all)
	add_link_options(-fsanitize=${SLUICE_SANITIZE})
endif()

set(SLUICE_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
	-Wimplicit-fallthrough)
if(SLUICE_WERROR)
	list(APPEND SLUICE_WARNINGS -Werror)
endif()

# sluice_layer(NAME SOURCES ... [USES layer ...] [LIBS target ...] [GENERATED file ...])
# A static library sluice_NAME. Its headers are found by quoted include (-iquote, so that no header of ours can
# hide a system header), and so are those of the layers it USES, and of nothing else: an include from a higher
# layer does not compile. GENERATED sources get no warnings of ours.
function(sluice_layer name)
	cmake_parse_arguments(L "" "" "SOURCES;USES;LIBS;GENERATED" ${ARGN})
	add_library(sluice_${name} STATIC ${L_SOURCES} ${L_GENERATED})
	target_compile_options(sluice_${name} PUBLIC "SHELL:-iquote ${CMAKE_CURRENT_SOURCE_DIR}")
	foreach(source ${L_SOURCES})
		set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS ${SLUICE_WARNINGS})
	endforeach()
	foreach(used ${L_USES})
		target_link_libraries(sluice_${name} PUBLIC sluice_${used})
	endforeach()
	target_link_libraries(sluice_${name} PUBLIC ${L_LIBS})
endfunction()

# sluice_test(NAME SOURCES ... USES layer ... [LABELS ...]): one cmocka program, one ctest entry.
function(sluice_test name)
	cmake_parse_arguments(T "" "" "SOURCES;USES;LABELS;LIBS" ${ARGN})
	add_executable(${name} ${T_SOURCES})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
	foreach(used ${T_USES})
		target_link_libraries(${name} PRIVATE sluice_${used})
	endforeach()
	target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA ${T_LIBS})
	target_compile_options(${name} PRIVATE ${SLUICE_WARNINGS})
	add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
	set_tests_properties(${name} PROPERTIES LABELS "unit;${T_LABELS}" TIMEOUT 120)
endfunction()

# sluice_fuzz(NAME SOURCES ... USES layer ...): with SLUICE_FUZZ a libFuzzer program; in every build also
# NAME_replay, which runs the files of tests/fuzz/corpus/NAME through the same function, as a test.
function(sluice_fuzz name)
	cmake_parse_arguments(F "" "" "SOURCES;USES" ${ARGN})
	set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
	if(SLUICE_FUZZ)
		add_executable(${name}_fuzz ${F_SOURCES})
		target_compile_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
		target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
		set_target_properties(${name}_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
		foreach(used ${F_USES})
			target_link_libraries(${name}_fuzz PRIVATE sluice_${used})
		endforeach()
	endif()
	add_executable(${name}_replay ${F_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_main.c)
	target_compile_options(${name}_replay PRIVATE ${SLUICE_WARNINGS})
	set_target_properties(${name}_replay PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
	foreach(used ${F_USES})
		target_link_libraries(${name}_replay PRIVATE sluice_${used})
	endforeach()
	add_test(NAME ${name}_replay COMMAND ${name}_replay ${corpus})
	set_tests_properties(${name}_replay PROPERTIES LABELS "fuzz" TIMEOUT 120)
endfunction()
