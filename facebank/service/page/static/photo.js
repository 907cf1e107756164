// The page of a photo: answers about its faces, and explanations of their names.

import { attempt, leave, make, problemBox, say, send } from "/static/common.js";

const page = document.querySelector("[data-photo]");
const hash = page.dataset.photo;

function card(number) {
  return document.getElementById(`face-${number}`);
}

async function answer(form, content, force = false) {
  const face = Number(form.dataset.say);
  try {
    const { message } = await send("POST", `/photos/${hash}/answers`, { face, ...content, force });
    location.hash = `face-${face}`;
    await leave(message);
  } catch (error) {
    const canForce = error.code === "NotLearned" && content.answer === "name" && !force;
    const retry = canForce ? () => answer(form, content, true) : null;
    form.append(problemBox(form, error, { label: `It is ${content.name}`, retry }));
  }
}

for (const form of document.querySelectorAll("[data-say]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = new FormData(form).get("name");
    attempt(form.querySelector("button"), () => answer(form, { answer: "name", name }));
  });
  for (const button of form.querySelectorAll("[data-name], [data-not], [data-nobody]")) {
    const { name, not } = button.dataset;
    const content = name ? { answer: "name", name } : not ? { answer: "not", name: not } : { answer: "nobody" };
    button.addEventListener("click", () => attempt(button, () => answer(form, content)));
  }
}

const undo = document.querySelector("[data-undo]");
undo?.addEventListener("click", () =>
  attempt(undo, async () => {
    await leave((await send("POST", "/answers/undo", { token: undo.dataset.undo })).message);
  }),
);

function point(number, isOn) {
  card(number)?.classList.toggle("pointed", isOn);
  page.querySelector(`[data-face="${number}"]`)?.classList.toggle("pointed", isOn);
}

for (const element of page.querySelectorAll(".frame, .one")) {
  const number = element.dataset.face ?? element.id.replace("face-", "");
  for (const [event, isOn] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
    element.addEventListener(event, () => point(number, isOn));
  }
}

for (const details of document.querySelectorAll("[data-why]")) {
  details.addEventListener("toggle", async () => {
    const container = details.querySelector("[data-beside]");
    if (!details.open || container.childElementCount) {
      return;
    }
    const face = details.dataset.why;
    try {
      const { person, samples } = await send("GET", `/photos/${hash}/faces/${face}/nearest`);
      if (!samples.length) {
        return;
      }
      const list = make("ul", { class: "faces" });
      const thisFace = make("img", { class: "face", src: `/pictures/faces/${hash}/${face}/128`, alt: "This face", width: 128, height: 128 });
      list.append(make("li", {}, thisFace, make("span", { class: "small" }, "this face")));
      for (const sample of samples) {
        const picture = sample.has_thumbnail
          ? make("img", { class: "face", src: `/pictures/samples/${sample.sample_id}`, alt: `Learned face of ${person}`, width: 128, height: 128 })
          : make("span", { class: "face none", "aria-hidden": "true" }, person.slice(0, 1));
        list.append(make("li", {}, picture, make("span", { class: "small" }, `${sample.similarity.toFixed(2)} alike`)));
      }
      container.append(make("p", { class: "small" }, `Compared with the most similar learned faces of ${person}:`), list);
      const explained = samples.find((sample) => sample.has_photo);
      if (explained) {
        const button = make("button", { type: "button" }, "Show the decisive parts");
        button.addEventListener("click", () => {
          button.disabled = true;
          button.textContent = "This takes a few seconds…";
          const map = make("img", { class: "map", alt: `The parts of the face that make it similar to ${person} are colored` });
          map.addEventListener("load", () => button.remove());
          map.addEventListener("error", () => say("The picture could not be created.", { isError: true }));
          map.src = `/pictures/maps/${hash}/${face}/${explained.sample_id}`;
          container.append(map);
        });
        container.append(button);
      }
    } catch (error) {
      say(error.message, { isError: true });
    }
  });
}

if (location.hash.startsWith("#face-")) {
  document.querySelector(location.hash)?.focus({ preventScroll: false });
}
