// The `main` of generated executables; a file of its own, so that tools with a main can use the rest.
#include "fovea/fovea.h"

int main(int argc, char **argv) { return fovea_main(fovea_linked_program(), argc, argv); }
