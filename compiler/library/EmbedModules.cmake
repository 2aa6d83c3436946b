# Writes OUTPUT: one line {"name", "text"} for each file of TEXTS, as C++ raw strings in pieces (compilers may limit a literal's length).
set(content "")
foreach(text ${TEXTS})
  get_filename_component(name ${text} NAME_WE)
  file(READ ${text} body)
  string(REPLACE "\n\n" "\n)fovea\"\nR\"fovea(\n" body "${body}")
  string(APPEND content "{\"${name}\", R\"fovea(${body})fovea\"},\n")
endforeach()
file(WRITE ${OUTPUT} "${content}")
