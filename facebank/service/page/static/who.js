// The page "Who is this?". Keys: y yes, n no, 1 2 3 candidate, / name, s skip, x nobody, u undo, t checkboxes of the faces.

import { attempt, make, placeFrames, say, send } from "/static/common.js";

const find = (name) => document.querySelector(`[data-${name}]`);
const title = document.getElementById("question");
const input = document.getElementById("who-name");
const skipped = new Set(JSON.parse(sessionStorage.getItem("skipped") ?? "[]"));
const history = []; // of this page: key of a skipped question, or null for an answer, which the service returns as `last`
const ticks = new Map(); // by question and face: the last state of its checkbox
let last = null;
let question = null;
let isBusy = false;

/** Shows what is in progress, and ignores answers meanwhile; an empty text ends this. */
function setBusy(text) {
  isBusy = Boolean(text);
  find("busy").textContent = text;
  document.querySelector(".ask").classList.toggle("busy", isBusy);
}

function showProblem(error, retry) {
  const container = find("problem");
  container.hidden = !error;
  container.replaceChildren();
  if (error) {
    container.append(error.message);
    if (retry) {
      const anyway = make("button", { type: "button" }, "Save anyway");
      anyway.addEventListener("click", retry);
      container.append(" ", anyway);
      anyway.focus();
    }
  }
}

function show({ question: next, is_busy: isSearching, last: lastAnswer }) {
  question = next;
  last = lastAnswer;
  showProblem(null);
  find("question").hidden = !next;
  find("none").hidden = Boolean(next);
  while (!last && history.at(-1) === null) {
    history.pop(); // undone elsewhere
  }
  find("undoing").hidden = !history.length && !last;
  find("last").textContent = history.at(-1) ? "Undo: skipped" : `Undo: ${last?.words}`;
  if (!next) {
    title.textContent = "Who is this?";
    find("left").textContent = "";
    find("none-title").textContent = isSearching ? "Looking through the photos…" : "All done";
    find("none-text").textContent = isSearching
      ? "Faces without a name appear here as they are found."
      : skipped.size
        ? "Only the faces that you skipped are left. They come again when you reopen this page."
        : "Every recognizable face has a name or is marked as nobody you know.";
    if (isSearching) {
      setTimeout(() => question || ask(), 2_000);
    }
    return;
  }
  title.textContent = next.asked ? `Is this ${next.asked}?` : "Who is this?";
  find("left").textContent = `${next.left.toLocaleString("en")} left`;
  const [first] = next.faces;
  find("face").src = `/pictures/faces/${first.photo}/${first.face}/320`;
  showFaces(next.faces);
  find("all").hidden = next.face_count <= next.faces.length;
  find("all").textContent = `Show all ${next.face_count.toLocaleString("en")}`;
  const photo = find("photo");
  Object.assign(photo, { width: next.photo.width, height: next.photo.height, src: `/pictures/photos/${next.photo.hash}/640` });
  find("frame").dataset.box = next.photo.box.join(" ");
  placeFrames(document);
  find("taken").textContent = next.photo.taken;
  find("asked").hidden = !next.asked;
  find("candidates").replaceChildren(
    ...next.candidates.map((candidate, index) => {
      const picture = candidate.sample_id === null
        ? make("span", { class: "face none", "aria-hidden": "true" }, candidate.name.slice(0, 1))
        : make("img", { class: "face", src: `/pictures/samples/${candidate.sample_id}`, alt: "", width: 64, height: 64 });
      const words = make("span", {}, make("strong", {}, candidate.name), make("span", { class: "quiet small" }, candidate.chance));
      const button = make("button", { type: "button" }, make("kbd", {}, String(index + 1)), picture, words);
      button.addEventListener("click", () => answerName(candidate.name));
      return make("li", {}, button);
    }),
  );
  input.value = "";
}

function showFaces(faces) {
  find("several").hidden = faces.length < 2;
  const isTicked = ({ id, is_left_out: isLeftOut }) => ticks.get(`${question.key} ${id}`) ?? !isLeftOut;
  const isAnyTicked = faces.some(isTicked);
  const pictures = faces.map((entry, index) => {
    const { photo, face, id } = entry;
    const image = make("img", { class: "face", src: `/pictures/faces/${photo}/${face}/128`, alt: `Face ${index + 1}`, width: 72, height: 72 });
    return make("li", {}, make("label", { class: "tick" }, make("input", { type: "checkbox", value: id, checked: isTicked(entry) || !isAnyTicked }), image));
  });
  find("faces").replaceChildren(...pictures);
  updateCount();
}

/** Updates the number of faces on the buttons; not all faces may be shown. */
function updateCount() {
  const count = (question?.face_count ?? 1) - others().length;
  find("save").textContent = count > 1 ? `Save for ${count.toLocaleString("en")} faces` : "Save";
}

async function showAll() {
  const asked = question;
  const { faces } = await send("POST", "/who/faces", { key: asked.key });
  if (asked === question && faces.length) {
    showFaces(faces);
    find("all").hidden = true;
    updateCount();
  }
}

/** Returns the ids of the unticked faces. */
function others() {
  return [...find("faces").querySelectorAll("input:not(:checked)")].map((box) => Number(box.value));
}

async function ask() {
  try {
    show(await send("POST", "/who/next", { skipped: [...skipped] }));
  } catch (error) {
    showProblem(error);
  }
}

async function answer(content, force = false) {
  if (!question || isBusy) {
    return;
  }
  const asked = question;
  setBusy("Learning…");
  try {
    const result = await send("POST", "/who/answers", { key: asked.key, skipped: [...skipped], others: others(), ...content, force });
    if (result.undo) {
      history.push(null);
    }
    say(result.message);
    setBusy("");
    show(result);
  } catch (error) {
    setBusy("");
    const canForce = content.answer === "name" && !force && ["NotLearned", "UsageError"].includes(error.code);
    showProblem(error, canForce ? () => answer(content, true) : null);
  }
}

function answerName(text) {
  const typed = text.trim();
  if (typed) {
    const isKnown = [...document.querySelectorAll("#names option")].some((option) => option.value === typed);
    if (!isKnown) {
      document.getElementById("names").append(make("option", { value: typed }));
    }
    input.blur();
    answer({ answer: "name", name: typed });
  }
}

function storeSkipped() {
  sessionStorage.setItem("skipped", JSON.stringify([...skipped]));
}

function skip() {
  if (question && !isBusy) {
    skipped.add(question.key);
    history.push(question.key);
    storeSkipped();
    ask();
  }
}

async function undo() {
  if (isBusy || !(history.length || last)) {
    return;
  }
  setBusy("Undoing…");
  const skippedKey = history.pop();
  try {
    if (skippedKey) {
      skipped.delete(skippedKey);
      storeSkipped();
    } else if (last) {
      say((await send("POST", "/answers/undo", { token: last.token })).message);
    }
    setBusy("");
    await ask();
  } catch (error) {
    setBusy("");
    showProblem(error);
  }
}

const yes = () => question?.asked && answerName(question.asked);
const no = () => question?.asked && answer({ answer: "no", name: question.asked });
const nobody = () => answer({ answer: "nobody" });
const pick = (index) => () => question?.candidates[index] && answerName(question.candidates[index].name);
const tick = () => find("faces").querySelector("input")?.focus();
const keys = { t: tick, y: yes, n: no, s: skip, x: nobody, u: undo, 1: pick(0), 2: pick(1), 3: pick(2), "/": () => input.focus() };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
    return;
  }
  if (event.target === input) {
    if (event.key === "Escape") {
      input.blur();
    }
    return;
  }
  const action = keys[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  }
});

find("yes").addEventListener("click", yes);
find("no").addEventListener("click", no);
find("skip").addEventListener("click", skip);
find("nobody").addEventListener("click", nobody);
find("all").addEventListener("click", () => attempt(find("all"), showAll));
find("undo").addEventListener("click", undo);
find("faces").addEventListener("change", updateCount);
find("faces").addEventListener("change", ({ target }) => question && ticks.set(`${question.key} ${target.value}`, target.checked));
find("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  answerName(input.value);
});

skipped.clear(); // a reopened page asks all questions again
storeSkipped();
ask();
