// Shared by all pages: requests, messages, labels on photos, progress, and pictures loaded on demand.

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
const message = document.getElementById("said");
let hideTimer = 0;
let pending = 0; // requests in progress
const labels = new ResizeObserver((entries) => entries.forEach(({ target }) => placeLabels(target)));

/** Shows a message for a while, also to screen readers. */
export function say(text, { isError = false } = {}) {
  clearTimeout(hideTimer);
  message.textContent = text;
  message.classList.toggle("wrong", isError);
  message.classList.add("shown");
  hideTimer = setTimeout(() => message.classList.remove("shown"), isError ? 12_000 : 6_000);
}

/** Sends a request and returns its JSON; throws an Error with the message of the service. */
export async function send(method, url, content) {
  const options = { method, headers: { "X-CSRF-Token": token, Accept: "application/json" }, credentials: "same-origin" };
  if (content instanceof FormData) {
    options.body = content;
  } else if (content !== undefined) {
    options.body = JSON.stringify(content);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("facebank does not answer. Is it still running?");
  }
  const contentType = response.headers.get("content-type") ?? "";
  const answer = contentType.includes("json") ? await response.json() : {};
  if (!response.ok) {
    if (response.status === 401) {
      location.assign(`/sign-in?${new URLSearchParams({ to: location.pathname + location.search })}`);
    }
    const error = new Error(answer.detail ?? `This did not work (${response.status}).`);
    error.code = answer.code;
    throw error;
  }
  return answer;
}

/** Runs an action and shows its error; the button is disabled meanwhile. */
export async function attempt(button, action) {
  if (button?.disabled) {
    return;
  }
  if (button) {
    button.disabled = true;
  }
  pending += 1;
  try {
    await action();
  } catch (error) {
    say(error.message, { isError: true });
  } finally {
    pending -= 1;
    if (button) {
      button.disabled = false;
    }
  }
}

/** Opens a URL, or reloads the page, and shows a message there. Never resolves, so that the button stays disabled. */
export function leave(text, to) {
  if (text) {
    sessionStorage.setItem("said", text);
  }
  if (to) {
    location.assign(to);
  } else {
    location.reload();
  }
  return new Promise(() => {});
}

/** Returns an element with attributes and children; text is never parsed as HTML. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Returns a box with the message of an error and, if given, a button that retries; removes the form's earlier box. */
export function problemBox(form, error, { label, retry } = {}) {
  form.querySelector("[data-problem]")?.remove();
  const box = make("div", { class: "warning", role: "alert", "data-problem": true }, make("p", {}, error.message));
  if (retry) {
    const anyway = make("button", { type: "button" }, label);
    anyway.addEventListener("click", () => attempt(anyway, retry));
    box.append(anyway);
  }
  return box;
}

/** Places frames on a picture, at fractions of its size given as data-box="x y width height". */
export function placeFrames(root) {
  for (const frame of root.querySelectorAll("[data-box]")) {
    const [left, top, width, height] = frame.dataset.box.split(" ").map((part) => `${100 * Number(part)}%`);
    Object.assign(frame.style, { left, top, width, height });
  }
  for (const framed of root.querySelectorAll(".framed")) {
    placeLabels(framed);
    labels.observe(framed); // repeat when its size changes
  }
}

/** Moves the labels of frames so that none is cut off or covers another label, nor a face if there is room. */
function placeLabels(framed) {
  const edge = framed.getBoundingClientRect();
  const frames = [...framed.querySelectorAll(".frame")];
  const boxes = frames.map((frame) => frame.getBoundingClientRect());
  const placed = [];
  frames.forEach((frame, index) => {
    const label = frame.querySelector("span");
    if (!label) {
      return;
    }
    label.style.translate = "";
    const { left, top, width, height } = label.getBoundingClientRect();
    const shiftX = Math.max(edge.left, Math.min(left, edge.right - width)) - left;
    const above = boxes[index].top - height - 4 - top;
    const rows = [0, above, ...[1, 2, 3, 4, 5, 6].flatMap((row) => [row * (height + 2), above - row * (height + 2)])];
    const isFree = (shiftY, others) =>
      top + shiftY >= edge.top && top + shiftY + height <= edge.bottom &&
      others.every((other) => left + shiftX + width <= other.left || left + shiftX >= other.right ||
        top + shiftY + height <= other.top || top + shiftY >= other.bottom);
    const faces = boxes.filter((_, other) => other !== index);
    const shiftY = rows.slice(0, 4).find((row) => isFree(row, [...placed, ...faces])) ?? rows.find((row) => isFree(row, placed)) ?? 0;
    label.style.translate = `${shiftX}px ${shiftY}px`;
    placed.push(label.getBoundingClientRect());
  });
}

const stored = sessionStorage.getItem("said");
if (stored) {
  sessionStorage.removeItem("said");
  say(stored);
}

placeFrames(document);

document.addEventListener(
  "error",
  (event) => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement)) {
      return;
    }
    const tries = Number(image.dataset.tries ?? 0);
    if (tries < 2) {
      image.dataset.tries = tries + 1; // the service may have been busy
      setTimeout(() => (image.src = image.src), 2_500 * (tries + 1));
    } else {
      image.classList.add("missing");
    }
  },
  true,
);

document.querySelector("[data-sign-out]")?.addEventListener("click", (event) =>
  attempt(event.currentTarget, async () => {
    await send("POST", "/sign-out");
    location.assign("/sign-in");
  }),
);

const isInUse = () =>
  pending || document.querySelector("dialog[open]") || document.activeElement?.matches("input, textarea, select");

// Shows the progress of work on the photos; the page is reloaded when it is done.
const progress = document.querySelector("[data-progress]");
if (progress) {
  const wait = () => (progress.hidden ? 500 : 1_500);
  setTimeout(function poll() {
    send("GET", "/looking")
      .then(({ words = "", done, total, is_done: isDone }) => {
        if (isDone && "stays" in progress.dataset) {
          progress.hidden = true;
          return;
        }
        if (isDone && !isInUse()) {
          const isShown = message.matches(".shown:not(.wrong)");
          leave(isShown && message.textContent); // keep the current message
          return;
        }
        if (!isDone) {
          progress.hidden = !words;
          progress.querySelector("label").textContent = words;
          const bar = progress.querySelector("progress");
          bar.max = total || 1;
          if (total) {
            bar.value = done;
          }
        }
        setTimeout(poll, isDone ? 1_500 : wait()); // a reload would close a dialog and lose what was typed
      })
      .catch(() => setTimeout(poll, 5_000));
  }, wait());
}

// Browsers load lazy pictures from far below; these are loaded shortly before they are visible.
const lazyLoader = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        lazyLoader.unobserve(target);
        target.src = target.dataset.late;
      }
    }
  },
  { rootMargin: "300px 0px" },
);
for (const image of document.querySelectorAll("img[data-late]")) {
  lazyLoader.observe(image);
}

const reload = document.querySelector("[data-reload]");
if (reload) {
  setTimeout(() => location.reload(), 1_000 * Number(reload.dataset.reload));
}
