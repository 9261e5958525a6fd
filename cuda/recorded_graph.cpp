#include "recorded_graph.h"

#include "runtime.h"

namespace tagix::cuda {
namespace {

class GraphRecording final : public Recording {
 public:
  explicit GraphRecording(const std::function<void()>& queue) {
    const DeviceScope scope;
    // Other threads may allocate memory meanwhile: that does not concern this thread's graph.
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "recording a graph");
    cudaGraph_t graph = nullptr;
    try {
      queue();
    } catch (...) {
      cudaStreamEndCapture(stream(), &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream(), &graph), "recording a graph");
    const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "preparing a graph");
  }
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;
  ~GraphRecording() override { cudaGraphExecDestroy(graph_); }

  void queue() override {
    const DeviceScope scope;
    check(cudaGraphLaunch(graph_, stream()), "running a graph");
  }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

std::unique_ptr<Recording> record_graph(const std::function<void()>& queue) {
  return std::make_unique<GraphRecording>(queue);
}

}  // namespace tagix::cuda
