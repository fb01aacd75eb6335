// Draws the state; changes nothing.

import { $, intensity, make, words } from "./dom.js";
import { imageAddress } from "./api.js";
import { GRADES, classKey, gradeKey } from "./keys.js";

const BEFORE = 4;
const AFTER = 6;
const MARKS = [10, 20, 30, 50, 100, 200, 300, 500, 1000];

export function buildControls(classes, act) {
  $("classes").replaceChildren(...classes.map((each, label) => {
    const button = make("button", {
      type: "button", colour: each.colour, "aria-pressed": "false", "aria-keyshortcuts": classKey(each.name), "data-label": label,
    }, make("kbd", { "aria-hidden": "true" }, classKey(each.name)), make("span", {}, make("b", {}, words(each.name)), make("small", {}, each.meaning)));
    button.addEventListener("click", () => act("label", label));
    return button;
  }));
  $("grades").replaceChildren(...GRADES.map((grade) => {
    const button = make("button", { type: "button", "aria-pressed": "false", "aria-label": `grade ${grade}`, "data-grade": grade },
      make("b", {}, String(grade)), make("kbd", { "aria-hidden": "true" }, gradeKey(grade)));
    button.addEventListener("click", () => act("grade", grade));
    return button;
  }));
  $("help-classes").replaceChildren(...classes.flatMap((each) => [
    make("dt", {}, make("kbd", {}, classKey(each.name))), make("dd", {}, make("b", {}, words(each.name)), `: ${each.meaning}`),
  ]));
}

export function drawHeader(s) {
  $("title").textContent = s.title;
  $("title").title = s.title;
  document.title = `${s.pass === 2 ? "Second pass" : "Label"}: ${s.title}`;
  $("file").textContent = `${s.file}${s.pass === 2 ? " · second pass, first labels hidden" : ""}${s.kept ? ` · ${s.kept} rows of other m/z kept` : ""}`;
  document.body.classList.toggle("second", s.pass === 2);
  const done = s.pass === 2 ? s.queue.filter((item) => s.labelOf(item) !== null).length : s.first;
  const goal = s.pass === 2 ? s.queue.length : Math.min(s.n, MARKS.find((mark) => mark > done) ?? s.n);
  $("count").textContent = s.pass === 2 ? `${done} of ${goal} labelled again` : `${done} labelled`;
  $("mark").textContent = s.pass === 2 ? "" : `next goal ${goal}`;
  $("bar").max = Math.max(1, goal);
  $("bar").value = done;
  $("undo").disabled = !s.can_undo;
  $("redo").disabled = !s.can_redo;
  $("order").value = s.order;
  $("order-label").hidden = s.pass === 2;
  $("pass-text").textContent = s.pass === 2 ? "First pass" : "Second pass";
  $("pass").disabled = s.pass === 1 && s.first === 0;
  $("agree").disabled = s.second === 0;
}

export function drawChoices(s) {
  for (const button of $("classes").children) button.setAttribute("aria-pressed", String(Number(button.dataset.label) === s.draft.label));
  for (const button of $("grades").children) button.setAttribute("aria-pressed", String(Number(button.dataset.grade) === s.draft.grade));
  $("grades").classList.toggle("off", !s.graded);
}

export function drawStrip(s, go) {
  const first = Math.max(0, Math.min(s.position - BEFORE, s.queue.length - BEFORE - AFTER - 1));
  const shown = s.queue.slice(first, first + BEFORE + AFTER + 1);
  $("strip").replaceChildren(...shown.map((item, k) => {
    const position = first + k;
    const label = s.labelOf(item);
    const known = label === null ? null : s.classes[label];
    const text = known ? `${classKey(known.name)}${s.gradeOf(item) === null ? "" : ` ${s.gradeOf(item)}`}` : s.isSkipped(item) ? "skipped" : "–";
    const spoken = known ? `${words(known.name)}${s.gradeOf(item) === null ? "" : `, grade ${s.gradeOf(item)}`}` : s.isSkipped(item) ? "skipped" : "not labelled";
    const button = make("button", {
      type: "button", "aria-current": position === s.position ? "true" : null, "aria-label": `${s.captionOf(item)}, ${spoken}`, title: s.captionOf(item),
    }, picture(item, s), make("span", { class: "badge" }, known ? make("i", { colour: known.colour }) : null, text));
    button.addEventListener("click", () => go(position));
    return make("li", {}, button);
  }));
}

// Gives an image in the strip its true shape: as high as the strip, or twice as wide as that.
export function shape(image, pixelRatio) {
  image.addEventListener("load", () => {
    const ratio = (image.naturalWidth * pixelRatio) / image.naturalHeight;
    image.style.setProperty("--wide", Math.min(ratio, 2));
    image.style.setProperty("--high", Math.min(1, 2 / ratio));
  });
  return image;
}

function picture(item, s) {
  const image = make("img", { src: imageAddress(item, s.scaling), alt: "", draggable: "false" });
  return make("span", { class: "thumb" }, shape(image, s.pixel_ratio));
}

export function drawStage(s) {
  const item = s.queue[s.position];
  $("caption").textContent = s.captionOf(item);
  $("place").textContent = `image ${s.position + 1} of ${s.queue.length}`;
  $("image").alt = `Ion image of ${s.captionOf(item)}, ${s.scaling === "sqrt" ? "square root" : "linear"} scale`;
  const address = imageAddress(item, s.scaling);
  if ($("image").getAttribute("src") !== address) $("image").src = address;
  for (const input of $("scaling").querySelectorAll("input")) input.checked = input.value === s.scaling;
  $("outline").setAttribute("aria-pressed", String(s.outlined));
  $("outline-drawing").toggleAttribute("hidden", !(s.outlined && s.outline));
}

export function drawRange(info, scaling) {
  $("upper").textContent = info === null ? "" : `${intensity(info.upper)} and above (0.99 quantile${scaling === "sqrt" ? ", square root scale" : ""})`;
  $("signal").textContent = info === null ? "" : `${Math.round(info.signal * 100)} % of the pixels with signal`;
}

// The largest size that fits its frame; whole multiples of a pixel where pixels are square and enlarged.
export function fitPicture(s) {
  const image = $("image");
  if (!image.naturalWidth) return;
  const frame = $("frame").getBoundingClientRect();
  const width = image.naturalWidth * s.pixel_ratio;
  let zoom = Math.min((frame.width - 12) / width, (frame.height - 12) / image.naturalHeight);
  if (zoom > 2 && s.pixel_ratio === 1) zoom = Math.floor(zoom);
  zoom = Math.max(zoom, 0.05);
  $("picture").style.width = `${width * zoom}px`;
  $("picture").style.height = `${image.naturalHeight * zoom}px`;
  image.classList.toggle("shrunk", zoom < 1);
  const bar = s.scale_bar;
  $("scale-bar").hidden = !bar;
  if (bar) {
    $("scale-bar").style.width = `${bar.fraction * 100}%`;
    $("scale-bar").firstElementChild.textContent = bar.text;
  }
}

export function drawOutline(outline) {
  if (!outline) return;
  $("outline").hidden = false;
  $("outline-drawing").setAttribute("viewBox", `0 0 ${outline.width} ${outline.height}`);
  for (const path of $("outline-drawing").children) path.setAttribute("d", outline.path);
}

export function say(...parts) {
  $("status").replaceChildren(make("span", {}, ...parts));
}

export function showAlert(text) {
  $("alert").textContent = text;
  $("alert").hidden = text === "";
}
