// A program without PTX the emulator can read: what it holds instead must be named.
#include <cstdio>

__global__ void nothing() {}

int main() {
  nothing<<<1, 1>>>();
  std::printf("got %s\n", cudaGetErrorName(cudaGetLastError()));
  return 0;
}
