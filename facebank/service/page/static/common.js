// Shared by all pages: requests, messages, labels on photos, progress, and pictures loaded on demand.

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
const said = document.getElementById("said");
let silence = 0;
let underWay = 0; // pending requests
const labels = new ResizeObserver((entries) => entries.forEach(({ target }) => placeLabels(target)));

/** Shows a message for a while, also to screen readers. */
export function say(text, { isError = false } = {}) {
  clearTimeout(silence);
  said.textContent = text;
  said.classList.toggle("wrong", isError);
  said.classList.add("shown");
  silence = setTimeout(() => said.classList.remove("shown"), isError ? 12_000 : 6_000);
}

/** Sends a request and returns its JSON; throws an Error with the message of the service. */
export async function send(method, address, content) {
  const options = { method, headers: { "X-CSRF-Token": token, Accept: "application/json" }, credentials: "same-origin" };
  if (content instanceof FormData) {
    options.body = content;
  } else if (content !== undefined) {
    options.body = JSON.stringify(content);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("facebank does not answer. Is it still running?");
  }
  const kind = response.headers.get("content-type") ?? "";
  const answer = kind.includes("json") ? await response.json() : {};
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
  underWay += 1;
  try {
    await action();
  } catch (error) {
    say(error.message, { isError: true });
  } finally {
    underWay -= 1;
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

/** Moves the names at the frames of a picture so that none is cut off or covers another name, or a face if there is room. */
function placeLabels(framed) {
  const edge = framed.getBoundingClientRect();
  const frames = [...framed.querySelectorAll(".frame")];
  const boxes = frames.map((frame) => frame.getBoundingClientRect());
  const placed = [];
  frames.forEach((frame, place) => {
    const label = frame.querySelector("span");
    if (!label) {
      return;
    }
    label.style.translate = "";
    const { left, top, width, height } = label.getBoundingClientRect();
    const across = Math.max(edge.left, Math.min(left, edge.right - width)) - left;
    const above = boxes[place].top - height - 4 - top;
    const rows = [0, above, ...[1, 2, 3, 4, 5, 6].flatMap((row) => [row * (height + 2), above - row * (height + 2)])];
    const isFree = (down, others) =>
      top + down >= edge.top && top + down + height <= edge.bottom &&
      others.every((other) => left + across + width <= other.left || left + across >= other.right ||
        top + down + height <= other.top || top + down >= other.bottom);
    const faces = boxes.filter((_, other) => other !== place);
    const down = rows.slice(0, 4).find((row) => isFree(row, [...placed, ...faces])) ?? rows.find((row) => isFree(row, placed)) ?? 0;
    label.style.translate = `${across}px ${down}px`;
    placed.push(label.getBoundingClientRect());
  });
}

const left = sessionStorage.getItem("said");
if (left) {
  sessionStorage.removeItem("said");
  say(left);
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
  underWay || document.querySelector("dialog[open]") || document.activeElement?.matches("input, textarea, select");

// Shows the progress of work on the photos; the page is reloaded when it is done.
const progress = document.querySelector("[data-progress]");
if (progress) {
  const wait = () => (progress.hidden ? 500 : 1_500);
  setTimeout(function look() {
    send("GET", "/looking")
      .then(({ words = "", done, total, is_done: isDone }) => {
        if (isDone && "stays" in progress.dataset) {
          progress.hidden = true;
          return;
        }
        if (isDone && !isInUse()) {
          const isSaid = said.matches(".shown:not(.wrong)");
          leave(isSaid && said.textContent); // keep the current message
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
        setTimeout(look, isDone ? 1_500 : wait()); // a reload would close a dialog and lose what was typed
      })
      .catch(() => setTimeout(look, 5_000));
  }, wait());
}

// Browsers load lazy pictures from far below; these are loaded shortly before they are visible.
const late = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        late.unobserve(target);
        target.src = target.dataset.late;
      }
    }
  },
  { rootMargin: "300px 0px" },
);
for (const image of document.querySelectorAll("img[data-late]")) {
  late.observe(image);
}

const reload = document.querySelector("[data-reload]");
if (reload) {
  setTimeout(() => location.reload(), 1_000 * Number(reload.dataset.reload));
}
