// Run a TensorFlow.js graph model once: node run_tfjs.js NODE_MODULES MODEL.json MODEL.bin INPUT.raw REQUEST.json
// REQUEST: {"shape": [...], "dtype": "float32" | "int32", "outputs": [tensor names]}; answers with JSON on stdout.
"use strict";
const fs = require("fs");
const path = require("path");

const [nodeModules, topologyPath, weightsPath, inputPath, requestPath] = process.argv.slice(2);
const tf = require(path.join(path.resolve(nodeModules), "@tensorflow", "tfjs"));

function arrayBuffer(file) {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

async function main() {
  await tf.setBackend("cpu");
  const stated = JSON.parse(fs.readFileSync(topologyPath, "utf8"));
  const request = JSON.parse(fs.readFileSync(requestPath, "utf8"));
  const model = await tf.loadGraphModel({
    load: async () => ({
      modelTopology: stated.modelTopology,
      weightSpecs: stated.weightsManifest.flatMap((group) => group.weights),
      weightData: arrayBuffer(weightsPath),
      signature: stated.signature,
    }),
  });
  const raw = arrayBuffer(inputPath);
  const values = request.dtype === "int32" ? new Int32Array(raw) : new Float32Array(raw);
  const found = model.execute(tf.tensor(values, request.shape, request.dtype), request.outputs);
  const tensors = Array.isArray(found) ? found : [found];
  const answer = {};
  request.outputs.forEach((name, i) => {
    answer[name] = { shape: tensors[i].shape, values: Array.from(tensors[i].dataSync()) };
  });
  answer.version = tf.version.tfjs;
  process.stdout.write(JSON.stringify(answer));
}

main();
