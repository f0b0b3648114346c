package goceph

// #include <malloc.h>
import "C"

// mallocArenas are enough for what Ceph's libraries allocate here. By default malloc has
// eight for each processor, and keeps in each what was once in use there (mallopt(3)).
const mallocArenas = 2

// boundMalloc is for the whole process.
func boundMalloc() { C.mallopt(C.M_ARENA_MAX, mallocArenas) }
