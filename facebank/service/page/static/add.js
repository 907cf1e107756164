// The page "Add photos": dropped photos are sent one by one, and the album is scanned with its progress.

import { attempt, make, placeFrames, send } from "/static/common.js";

const form = document.querySelector("[data-add]");
const list = document.querySelector("[data-added]");
const drop = document.querySelector("[data-drop]");
const nameField = form.elements.name;
const needed = document.querySelector("[data-name-needed]");
const waiting = []; // photos chosen before the name was typed

function addWaiting() {
  if (waiting.length && (nameField.disabled || nameField.value.trim())) {
    add(waiting.splice(0));
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault(); // Enter in the name field
  addWaiting();
});
nameField?.addEventListener("change", addWaiting);

form.addEventListener("change", (event) => {
  if (event.target.name === "what" && nameField) {
    nameField.disabled = form.elements.what.value !== "enroll";
    if (!nameField.disabled) {
      nameField.focus();
    }
    addWaiting();
  } else if (event.target.type === "file") {
    add([...event.target.files]);
    event.target.value = "";
  }
});

for (const [type, isOver] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", isOver);
  });
}
drop.addEventListener("drop", (event) => add([...event.dataTransfer.files]));

function addItem(file) {
  const image = make("img", { alt: file.name, src: URL.createObjectURL(file) });
  const framed = make("div", { class: "framed" }, image);
  const words = make("div", {}, make("strong", {}, file.name), make("p", { class: "quiet" }, "Looking at it…"));
  image.addEventListener("error", () => framed.replaceChildren());
  const item = make("li", { class: "card-box" }, framed, words);
  list.prepend(item);
  return { framed, words };
}

function showResult(words, file, ...content) {
  words.replaceChildren(make("strong", {}, file.name), ...content.filter((child) => child !== null));
}

async function ask(file, { framed, words }) {
  const content = new FormData();
  content.append("photo", file);
  const { faces, is_turned: isTurned } = await send("POST", "/add/ask", content);
  if (!faces.length) {
    showResult(words, file, make("p", {}, "No face was found."));
    return;
  }
  const items = faces.map(({ title, why, likelihood, person, box }) => {
    if (!isTurned) {
      framed.append(make("span", { class: "frame", "data-box": box.join(" ") }, make("span", {}, title)));
    }
    const name = person === null || person === undefined ? make("strong", {}, title) : make("a", { href: `/people/${person}` }, title);
    return make("li", {}, name, likelihood ? ` ${likelihood}` : "", make("span", { class: "quiet small" }, why));
  });
  placeFrames(framed);
  showResult(words, file, make("ul", { class: "told" }, ...items));
}

async function enroll(file, name, { words }, { force = false, face = null } = {}) {
  const content = new FormData();
  content.append("photo", file);
  content.append("name", name);
  content.append("force", String(force));
  if (face !== null) {
    content.append("face", String(face));
  }
  const answer = await send("POST", "/add/enroll", content);
  if (answer.accepted) {
    showResult(
      words,
      file,
      make("p", {}, "Learned: ", make("a", { href: `/people/${answer.person}` }, answer.name)),
      answer.warning ? make("p", { class: "quiet small" }, answer.warning) : null,
    );
    return;
  }
  if (answer.faces.length) {
    const choices = answer.faces.map((entry) => choice(entry, name, (button) =>
      attempt(button, () => enroll(file, name, { words }, { face: entry.face })),
    ));
    showResult(words, file, make("p", {}, `Which one is ${name}?`), make("ul", { class: "faces few choices" }, ...choices));
    if (!document.activeElement?.matches("input:not([type=file])")) {
      choices[0].firstChild.focus(); // unless somebody is typing
    }
    return;
  }
  const canForce = ["unlike_the_person", "nearer_to_another"].includes(answer.reason) && !force;
  const anyway = make("button", { type: "button" }, `It is ${answer.name}`);
  anyway.addEventListener("click", () => attempt(anyway, () => enroll(file, name, { words }, { force: true, face })));
  showResult(words, file, make("p", { class: "warning" }, `Not learned. ${answer.detail}`), canForce ? anyway : null);
}

/** Returns a list item with a button that shows a face of a photo. */
function choice({ face, title, picture }, name, choose) {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const source = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  const image = make("img", { class: "face", src: source, alt: `Face ${face} is ${name}`, width: 88, height: 88 });
  const button = make("button", { type: "button", class: "picture" }, image);
  button.addEventListener("click", () => choose(button));
  return make("li", {}, button, make("span", { class: "quiet small" }, title));
}

async function add(files) {
  const name = form.elements.what.value === "enroll" ? nameField.value.trim() : null;
  if (name === "") {
    waiting.push(...files);
    const photos = waiting.length === 1 ? waiting[0].name : `${waiting.length.toLocaleString("en")} photos`;
    needed.textContent = `Type the name and press Enter to learn ${photos}.`;
    needed.hidden = false;
    nameField.focus();
    return;
  }
  if (needed) {
    needed.hidden = true;
  }
  for (const file of files) {
    const item = addItem(file);
    try {
      await (name === null ? ask(file, item) : enroll(file, name, item));
    } catch (error) {
      showResult(item.words, file, make("p", { class: "warning" }, error.message));
    }
  }
}

const scan = document.querySelector("[data-scan]");
if (scan) {
  const scanForm = scan.querySelector("[data-scan-form]");
  const cancel = scan.querySelector("[data-cancel]");
  const progress = scan.querySelector("[data-scan-progress]");
  const outcome = scan.querySelector("[data-scan-result]");

  const timeLeft = (seconds) => {
    if (seconds === null) {
      return "";
    }
    const minutes = Math.ceil(seconds / 60);
    return seconds < 90 ? `, about ${Math.max(1, Math.round(seconds))} seconds left` : `, about ${minutes} minutes left`;
  };

  // empty for 0
  const pluralize = (number, noun, plural = `${noun}s`) => (number ? `${number.toLocaleString("en")} ${number === 1 ? noun : plural}` : "");

  const show = (state) => {
    progress.hidden = false;
    const bar = scan.querySelector("[data-scan-bar]");
    if (state.step === "videos") {
      const videos = `${state.videos_done.toLocaleString("en")} of ${(state.videos_total ?? 0).toLocaleString("en")} new videos`;
      scan.querySelector("[data-scan-text]").textContent =
        state.videos_total === null ? "Looking for new videos…" : `The photos are done. Videos: ${videos}${timeLeft(state.seconds_left)}`;
      Object.assign(bar, { max: Math.max(1, state.videos_total ?? 1), value: state.videos_done });
      return;
    }
    const photos = `${state.done.toLocaleString("en")} of ${(state.total ?? 0).toLocaleString("en")} new photos`;
    scan.querySelector("[data-scan-text]").textContent =
      state.total === null ? "Looking for new photos…" : `${photos}${timeLeft(state.seconds_left)}`;
    Object.assign(bar, { max: Math.max(1, state.total ?? 1), value: state.done });
  };

  const end = (state) => {
    progress.hidden = true;
    if (cancel) {
      cancel.hidden = true;
    }
    const { report, status, error } = state;
    const lines = [];
    if (status === "done") {
      lines.push(make("p", {}, `Done: ${pluralize(report.looked_at, "new photo") || "no new photo"}, ${report.unchanged.toLocaleString("en")} known before.`));
      if (report.videos) {
        lines.push(make("p", {}, `${pluralize(report.videos, "video")}, ${pluralize(state.videos_done, "of them new", "of them new") || "none of them new"}.`));
      }
      const skipped = [pluralize(report.unsupported, "picture of a kind that facebank does not read", "pictures of kinds that facebank does not read")].filter(Boolean);
      if (skipped.length) {
        lines.push(make("p", { class: "quiet" }, `Skipped: ${skipped.join(", ")}.`));
      }
      const unreadable = [...report.unreadable_photos, ...state.unreadable_videos];
      if (unreadable.length) {
        const files = unreadable.map((file) => make("li", {}, file.error));
        const count = report.unreadable + state.unreadable_videos.length;
        lines.push(make("details", {}, make("summary", {}, `${count.toLocaleString("en")} cannot be read`), make("ul", { class: "stays" }, ...files)));
      }
      lines.push(make("p", { class: "row" }, make("a", { class: "button main", href: "/who" }, "Who is this?"), make("a", { class: "button", href: "/" }, "People")));
    } else {
      lines.push(make("p", { class: "warning" }, status === "canceled" ? "Stopped. The results so far are kept." : `This did not work: ${error}`));
    }
    outcome.replaceChildren(...lines);
  };

  const watch = () => {
    if (cancel) {
      cancel.hidden = false;
    }
    outcome.replaceChildren();
    const events = new EventSource("/api/v1/album/scan/events");
    events.addEventListener("progress", (event) => show(JSON.parse(event.data)));
    events.addEventListener("end", (event) => {
      events.close();
      end(JSON.parse(event.data));
    });
  };

  scanForm?.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(scanForm.querySelector("button"), async () => {
      const { folder, below } = Object.fromEntries(new FormData(scanForm));
      const subfolder = below.trim();
      const folders = subfolder ? [folder && !subfolder.startsWith("/") ? `${folder}/${subfolder}` : subfolder] : folder ? [folder] : [];
      await send("POST", "/api/v1/album/scan", { folders });
      watch();
    });
  });
  cancel?.addEventListener("click", () => attempt(cancel, () => send("DELETE", "/api/v1/album/scan")));
  if ("scanning" in scan.dataset) {
    watch();
  }
}
