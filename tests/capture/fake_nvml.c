/* A small libnvidia-ml.so.1 with two cards, for tests. The second card is older and supports less. */
#include <string.h>
#include <stdlib.h>
typedef void *device;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
#define OK 0
#define NOT_SUPPORTED 3
static int card(device d) { return (int)(long)d - 1; }
int nvmlInit_v2(void) { return getenv("FAKE_NVML_BROKEN") ? 9 : OK; }
int nvmlInitWithFlags(unsigned flags) { return nvmlInit_v2(); }
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, device *d) { *d = (device)(long)(i + 1); return OK; }
int nvmlDeviceGetUtilizationRates(device d, utilization *u) { u->gpu = 40 + card(d); u->memory = 20; return OK; }
int nvmlDeviceGetMemoryInfo(device d, memory *m) {
  m->total = 80ull << 30; m->used = 20ull << 30; m->free = m->total - m->used; return OK;
}
int nvmlDeviceGetTemperature(device d, unsigned sensor, unsigned *t) { *t = 61 + card(d); return OK; }
int nvmlDeviceGetPowerUsage(device d, unsigned *p) { *p = 350500; return card(d) ? NOT_SUPPORTED : OK; }
int nvmlDeviceGetEnforcedPowerLimit(device d, unsigned *p) { *p = 701000; return card(d) ? NOT_SUPPORTED : OK; }
int nvmlDeviceGetClockInfo(device d, unsigned kind, unsigned *c) { *c = 1000 + kind; return OK; }
int nvmlDeviceGetFanSpeed(device d, unsigned *s) { return NOT_SUPPORTED; }
int nvmlDeviceGetTotalEnergyConsumption(device d, unsigned long long *e) { *e = 5000000000000ull; return OK; }
int nvmlDeviceGetEncoderUtilization(device d, unsigned *u, unsigned *t) { *u = 3; *t = 0; return OK; }
int nvmlDeviceGetTotalEccErrors(device d, unsigned kind, unsigned counter, unsigned long long *n) {
  *n = kind; return card(d) ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device d, unsigned *count, process *list) {
  const char *pid = getenv("FAKE_NVML_PID");
  if (!pid || card(d)) { *count = 0; return OK; }
  memset(list, 0, 2 * sizeof *list);
  list[1].pid = atoi(pid); list[1].used = 7; *count = 2; return OK;
}
int nvmlDeviceGetName(device d, char *name, unsigned n) { strncpy(name, "NVIDIA Test 80GB", n); return OK; }
int nvmlDeviceGetUUID(device d, char *id, unsigned n) { strncpy(id, card(d) ? "GPU-1" : "GPU-0", n); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12040; return OK; }
int nvmlSystemGetCudaDriverVersion(int *v) { *v = 12040; return OK; }
const char *nvmlErrorString(int code) { return "error"; }
