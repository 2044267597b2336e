// Runs a program for Python: see replay.py.
#include "program.hpp"

extern "C" int run_program(const engine::Program* program) { return engine::run(*program); }
