// Calls CompreFace's published JavaScript client: node client.mjs SERVER PORT KEY < steps.json > results.json
//
// A step is ["part.method", argument, ...]; an argument {"file": PATH} stands for the file's bytes, {"base64": PATH}
// for them in base64. A result is what the client returns, or {"error": {"status", "data"}}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const found = createRequire(`${process.cwd()}/`).resolve("@exadel/compreface-js-sdk");
const { CompreFace } = await import(pathToFileURL(found));
console.log = () => {}; // the client prints its key

const [server, port, key] = process.argv.slice(2);
const { options, steps } = JSON.parse(readFileSync(0, "utf-8"));
const service = new CompreFace(server, Number(port), options);
const parts = {
  recognition: () => service.initFaceRecognitionService(key),
  faces: () => service.initFaceRecognitionService(key).getFaceCollection(),
  subjects: () => service.initFaceRecognitionService(key).getSubjects(),
  verification: () => service.initFaceVerificationService(key),
  detection: () => service.initFaceDetectionService(key),
};

function read(argument) {
  if (argument?.file) return readFileSync(argument.file);
  return argument?.base64 ? readFileSync(argument.base64).toString("base64") : argument;
}

const results = [];
for (const [name, ...given] of steps) {
  const [part, method] = name.split(".");
  try {
    results.push(await parts[part]()[method](...given.map(read)));
  } catch (error) {
    if (!error.response) throw error;
    results.push({ error: { status: error.response.status, data: error.response.data } });
  }
}
process.stdout.write(JSON.stringify(results));
