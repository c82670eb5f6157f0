// Run a .pte once: ternary-run model.pte output-prefix input.bin…
//
// Inputs are raw tensors in the method's order; output i is written raw to <prefix><i>.bin. It links the runtime's
// libraries, so that it runs wherever they do: on this machine, on a board, under an emulator.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

int fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  return 1;
}

bool read(const std::string& path, std::size_t bytes, std::vector<std::uint8_t>& data) {
  std::ifstream file(path, std::ios::binary);
  data.assign(std::istreambuf_iterator<char>(file), {});
  return file && data.size() == bytes;
}

int run(const std::string& model, const std::string& prefix, const std::vector<std::string>& paths) {
  Module module(model, Module::LoadMode::File);
  const auto meta = module.method_meta("forward");
  if (!meta.ok()) return fail(model + ": no program of ExecuTorch");
  if (meta->num_inputs() != paths.size())
    return fail(std::to_string(paths.size()) + " inputs; expected " + std::to_string(meta->num_inputs()));
  std::vector<std::vector<std::uint8_t>> buffers(paths.size());
  std::vector<TensorPtr> tensors;
  std::vector<EValue> values;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto input = meta->input_tensor_meta(i);
    if (!input.ok() || !read(paths[i], input->nbytes(), buffers[i]))
      return fail(paths[i] + ": not readable, or of another size than input " + std::to_string(i));
    const std::vector<executorch::aten::SizesType> sizes(input->sizes().begin(), input->sizes().end());
    tensors.push_back(executorch::extension::make_tensor_ptr(sizes, buffers[i].data(), input->scalar_type()));
    values.emplace_back(*tensors.back());
  }
  const auto outputs = module.forward(values);
  if (!outputs.ok()) return fail("ExecuTorch failed with error " + std::to_string(static_cast<int>(outputs.error())));
  for (std::size_t i = 0; i < outputs->size(); ++i) {
    const auto& tensor = (*outputs)[i].toTensor();
    std::ofstream file(prefix + std::to_string(i) + ".bin", std::ios::binary);
    file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
    if (!file) return fail(prefix + std::to_string(i) + ".bin: cannot be written");
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) return fail("usage: ternary-run model.pte output-prefix input.bin…");
  return run(words[1], words[2], {words + 3, words + count});
}
