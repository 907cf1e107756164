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

function wait(text) {
  isBusy = Boolean(text);
  find("busy").textContent = text;
  document.querySelector(".ask").classList.toggle("busy", isBusy);
}

function problem(error, again) {
  const place = find("problem");
  place.hidden = !error;
  place.replaceChildren();
  if (error) {
    place.append(error.message);
    if (again) {
      const anyway = make("button", { type: "button" }, "Save anyway");
      anyway.addEventListener("click", again);
      place.append(" ", anyway);
      anyway.focus();
    }
  }
}

function show({ question: next, is_busy: isLooking, last: before }) {
  question = next;
  last = before;
  problem(null);
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
    find("none-title").textContent = isLooking ? "Looking through the photos…" : "All done";
    find("none-text").textContent = isLooking
      ? "Faces without a name appear here as they are found."
      : skipped.size
        ? "Only the faces that you skipped are left. They come again when you reopen this page."
        : "Every recognizable face has a name or is marked as nobody you know.";
    if (isLooking) {
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
  const around = find("photo");
  Object.assign(around, { width: next.photo.width, height: next.photo.height, src: `/pictures/photos/${next.photo.hash}/640` });
  find("frame").dataset.box = next.photo.box.join(" ");
  placeFrames(document);
  find("taken").textContent = next.photo.taken;
  find("asked").hidden = !next.asked;
  find("candidates").replaceChildren(
    ...next.candidates.map((one, place) => {
      const picture = one.sample_id === null
        ? make("span", { class: "face none", "aria-hidden": "true" }, one.name.slice(0, 1))
        : make("img", { class: "face", src: `/pictures/samples/${one.sample_id}`, alt: "", width: 64, height: 64 });
      const words = make("span", {}, make("strong", {}, one.name), make("span", { class: "quiet small" }, one.chance));
      const button = make("button", { type: "button" }, make("kbd", {}, String(place + 1)), picture, words);
      button.addEventListener("click", () => name(one.name));
      return make("li", {}, button);
    }),
  );
  input.value = "";
}

function showFaces(faces) {
  find("several").hidden = faces.length < 2;
  const isMeant = ({ id, is_left_out: isLeftOut }) => ticks.get(`${question.key} ${id}`) ?? !isLeftOut;
  const isAny = faces.some(isMeant);
  const pictures = faces.map((one, place) => {
    const { photo, face, id } = one;
    const image = make("img", { class: "face", src: `/pictures/faces/${photo}/${face}/128`, alt: `Face ${place + 1}`, width: 72, height: 72 });
    return make("li", {}, make("label", { class: "tick" }, make("input", { type: "checkbox", value: id, checked: isMeant(one) || !isAny }), image));
  });
  find("faces").replaceChildren(...pictures);
  countMeant();
}

/** Updates the number of faces on the buttons; not all faces may be shown. */
function countMeant() {
  const count = (question?.face_count ?? 1) - others().length;
  find("save").textContent = count > 1 ? `Save for ${count.toLocaleString("en")} faces` : "Save";
}

async function showAll() {
  const asked = question;
  const { faces } = await send("POST", "/who/faces", { key: asked.key });
  if (asked === question && faces.length) {
    showFaces(faces);
    find("all").hidden = true;
    countMeant();
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
    problem(error);
  }
}

async function tell(content, force = false) {
  if (!question || isBusy) {
    return;
  }
  const asked = question;
  wait("Learning…");
  try {
    const answer = await send("POST", "/who/answers", { key: asked.key, skipped: [...skipped], others: others(), ...content, force });
    if (answer.undo) {
      history.push(null);
    }
    say(answer.message);
    wait("");
    show(answer);
  } catch (error) {
    wait("");
    const canForce = content.answer === "name" && !force && ["NotLearned", "UsageError"].includes(error.code);
    problem(error, canForce ? () => tell(content, true) : null);
  }
}

function name(text) {
  const wanted = text.trim();
  if (wanted) {
    const known = [...document.querySelectorAll("#names option")].some((option) => option.value === wanted);
    if (!known) {
      document.getElementById("names").append(make("option", { value: wanted }));
    }
    input.blur();
    tell({ answer: "name", name: wanted });
  }
}

function keepSkipped() {
  sessionStorage.setItem("skipped", JSON.stringify([...skipped]));
}

function skip() {
  if (question && !isBusy) {
    skipped.add(question.key);
    history.push(question.key);
    keepSkipped();
    ask();
  }
}

async function undo() {
  if (isBusy || !(history.length || last)) {
    return;
  }
  wait("Undoing…");
  const wasSkipped = history.pop();
  try {
    if (wasSkipped) {
      skipped.delete(wasSkipped);
      keepSkipped();
    } else if (last) {
      say((await send("POST", "/answers/undo", { token: last.token })).message);
    }
    wait("");
    await ask();
  } catch (error) {
    wait("");
    problem(error);
  }
}

const yes = () => question?.asked && name(question.asked);
const no = () => question?.asked && tell({ answer: "no", name: question.asked });
const nobody = () => tell({ answer: "nobody" });
const pick = (place) => () => question?.candidates[place] && name(question.candidates[place].name);
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
find("faces").addEventListener("change", countMeant);
find("faces").addEventListener("change", ({ target }) => question && ticks.set(`${question.key} ${target.value}`, target.checked));
find("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  name(input.value);
});

skipped.clear(); // a reopened page asks all questions again
keepSkipped();
ask();
