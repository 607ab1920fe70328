// A contiguous tensor seen as [outer, channels, inner].
#pragma once

#include <stdint.h>

namespace onnxq {

struct ChannelShape {
  int64_t outer = 1;
  int64_t channels = 1;
  int64_t inner = 1;

  int64_t size() const { return outer * channels * inner; }
};

}  // namespace onnxq
