# Fail if the LIBRARY exports anything but names that begin with PREFIX, or nothing.
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${LIBRARY} OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${found}")
list(LENGTH lines count)
list(FILTER lines EXCLUDE REGEX "^${PREFIX}")
if(lines OR count EQUAL 0)
  message(FATAL_ERROR "${count} exported names, of which these are not ${PREFIX}*: ${lines}")
endif()
