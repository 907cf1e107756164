// Dialogs with forms, and buttons that send requests.

import { attempt, leave, make, problemBox, say, send } from "/static/common.js";

for (const form of document.querySelectorAll("[data-form]")) {
  const submit = async (force) => {
    const content = Object.fromEntries(new FormData(form));
    let answer;
    try {
      answer = await send("POST", form.dataset.form, force ? { ...content, force: true } : content);
    } catch (error) {
      const canForce = form.dataset.form.endsWith("/merge") && error.code === "UsageError" && !force;
      form.prepend(problemBox(form, error, { label: "Do it anyway", retry: canForce ? () => submit(true) : null }));
      return;
    }
    await leave(answer.message, answer.to);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form.querySelector("button"), () => submit(false));
  });
}

async function loadCopies(dialog) {
  const container = dialog.querySelector("[data-copies]");
  const { stays, files_with_name: files } = await send("GET", dialog.dataset.loads);
  const items = stays.map(({ path, advice }) => make("li", {}, make("code", {}, path), ` ${advice}`));
  if (files) {
    items.push(make("li", {}, `The name is written in ${files.toLocaleString("en")} photos or sidecar files.`));
  }
  container.replaceChildren(
    ...(items.length ? [make("p", {}, "facebank cannot remove these; they remain until you do:"), make("ul", { class: "stays" }, ...items)] : []),
  );
}

for (const button of document.querySelectorAll("[data-opens]")) {
  const dialog = document.getElementById(button.dataset.opens);
  button.addEventListener("click", () => {
    dialog.showModal();
    dialog.querySelector("input, textarea")?.focus();
    if (dialog.dataset.loads) {
      loadCopies(dialog).catch((error) => say(error.message, { isError: true }));
    }
  });
  dialog.querySelector("[data-closes]").addEventListener("click", () => dialog.close());
}

for (const button of document.querySelectorAll("[data-send]")) {
  button.addEventListener("click", () => {
    if (button.dataset.ask && button.dataset.isAsked !== "true") {
      const text = button.textContent;
      Object.assign(button.dataset, { isAsked: "true" });
      button.textContent = "Really remove?";
      button.addEventListener(
        "blur",
        () => {
          delete button.dataset.isAsked;
          button.textContent = text;
        },
        { once: true },
      );
      return;
    }
    attempt(button, async () => {
      const { message, to } = await send("POST", button.dataset.send, {});
      await leave(message, to);
    });
  });
}
