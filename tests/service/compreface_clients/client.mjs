// Calls CompreFace's published JavaScript client: node client.mjs SERVER PORT KEY < steps.json > results.json
//
// The input is {"options": {...}, "steps": [...]}. A step is ["service.method", argument, ...]; an argument {"file": PATH}
// is replaced by the file's bytes, {"base64": PATH} by its bytes in base64. A result is the client's return value, or
// {"error": {"status", "data"}}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const modulePath = createRequire(`${process.cwd()}/`).resolve("@exadel/compreface-js-sdk");
const { CompreFace } = await import(pathToFileURL(modulePath));
console.log = () => {}; // the client prints its key

const [server, port, key] = process.argv.slice(2);
const { options, steps } = JSON.parse(readFileSync(0, "utf-8"));
const client = new CompreFace(server, Number(port), options);
const services = {
  recognition: () => client.initFaceRecognitionService(key),
  faces: () => client.initFaceRecognitionService(key).getFaceCollection(),
  subjects: () => client.initFaceRecognitionService(key).getSubjects(),
  verification: () => client.initFaceVerificationService(key),
  detection: () => client.initFaceDetectionService(key),
};

function readArgument(argument) {
  if (argument?.file) return readFileSync(argument.file);
  return argument?.base64 ? readFileSync(argument.base64).toString("base64") : argument;
}

const results = [];
for (const [name, ...values] of steps) {
  const [service, method] = name.split(".");
  try {
    results.push(await services[service]()[method](...values.map(readArgument)));
  } catch (error) {
    if (!error.response) throw error;
    results.push({ error: { status: error.response.status, data: error.response.data } });
  }
}
process.stdout.write(JSON.stringify(results));
