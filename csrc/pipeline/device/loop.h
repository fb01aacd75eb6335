// The streaming loop on a device: read | copy | bin | preprocess | score, overlapped; images never leave the device.
#pragma once

#include <cstdint>
#include <span>

#include "core/image_stack.h"
#include "images/mz_window.h"
#include "io/plane.h"
#include "pipeline/common/progress.h"
#include "pipeline/common/results.h"
#include "pipeline/device/backend.h"
#include "pipeline/device/batches.h"
#include "pipeline/device/plan.h"

namespace imn::pipeline {

struct DeviceOptions : LoopControl {
  MemoryLimits limits;
};

// Where the time went, in seconds of wall clock, and how the work was cut.
struct DeviceTimings {
  double read_s = 0;             // in the reader's thread, which overlaps with everything else
  double wait_for_data_s = 0;    // the host waited for the reader
  double wait_for_device_s = 0;  // the host waited for the device
  double total_s = 0;
  std::int64_t strips = 0;  // 0 if the images came from the host
  std::int64_t images_per_strip = 0;
  std::int64_t batches_ahead = 0;  // the most batches prepared before the first of them was scored
  std::int64_t chunks = 0;
  std::int64_t chunk_bytes = 0;
  std::int64_t device_chunks = 0;  // on the device at the same time; 0 if resident
  std::int64_t uploaded_bytes = 0;
  std::int64_t device_bytes = 0;  // allocated by the loop, without the tables of windows and the network
  bool resident = false;          // the file was copied once, and all strips were binned from the copy
};

// Note [device loop]: a thread reads chunks (some pixels of one strip) into pinned memory; queue `copy` moves them to
// the device, queue `prepare` bins them. Once a strip of images is complete, the same queue preprocesses it batch by
// batch, and each batch is scored in queue `score` while the next strip is read, copied and binned. Scoring therefore
// starts after the first strip, whatever the size of the file. Events tell when a buffer can be reused: a pinned buffer
// after its copy, a chunk on the device after its binning, a batch after its scoring. Memory for one strip of images is
// enough, because `prepare` works in order.

// Like score_windows() of the host loop: one image per window, results in the order of the windows.
DeviceTimings score_windows_on_device(const io::Plane& plane, std::span<const images::MzWindow> windows,
                                      const DeviceModel& model, DeviceBackend& backend, const DeviceOptions& options,
                                      const Results& results);

// The same for images in host memory.
DeviceTimings score_stack_on_device(const ImageStack& stack, const DeviceModel& model, DeviceBackend& backend,
                                    const DeviceOptions& options, const Results& results);

LoopFacts facts(const DeviceTimings& timings);

}  // namespace imn::pipeline
