// See NvInferRuntime.h beside it.
#pragma once

#define NV_TENSORRT_MAJOR 11
#define NV_TENSORRT_MINOR 4
#define NV_TENSORRT_PATCH 0
#define NV_TENSORRT_BUILD 106
