// The labelling page: takes keys and clicks one after the other, sends them to the session, shows what came of it.

import { $, make, words } from "./dom.js";
import { get, imageAddress, post } from "./api.js";
import { commandOf } from "./keys.js";
import { anyOpen, ask, askForSecondPass, askWhenDone, showAgreement, showEnd } from "./dialogs.js";
import * as view from "./view.js";

const LOOK_AHEAD = 10;

const s = {
  position: 0, draft: { label: null, grade: null }, gradedNow: false, graded: true,
  scaling: "linear", outlined: false, outline: null,
  captions: new Map(), entries: new Map(), ended: false,
  captionOf: (item) => s.captions.get(item),
  labelOf: (item) => s.entries.get(item)?.label ?? null,
  gradeOf: (item) => s.entries.get(item)?.grade ?? null,
  isSkipped: (item) => s.entries.get(item)?.skipped ?? false,
};

const current = () => s.queue[s.position];

function takeState(state) {
  const { captions, entries, ...rest } = state;
  Object.assign(s, rest);
  s.captions = new Map(state.queue.map((item, k) => [item, captions[k]]));
  s.entries = new Map(entries.map((entry) => [entry.item, entry]));
}

function takeChange(answer) {
  const { entry, ...progress } = answer;
  Object.assign(s, progress);
  if (entry) s.entries.set(entry.item, entry);
  view.showAlert("");
  return entry;
}

function draw() {
  view.drawHeader(s);
  view.drawChoices(s);
  view.drawStage(s);
  view.drawStrip(s, (position) => act("go", position));
}

let inspected = 0;

function inspect() {
  const turn = ++inspected;
  view.drawRange(null, s.scaling);
  get(`image/${current()}.json`).then((info) => { if (turn === inspected) view.drawRange(info, s.scaling); }, () => {});
}

function show(position) {
  s.position = position;
  s.draft = { label: s.labelOf(current()), grade: s.gradeOf(current()) };
  s.gradedNow = false;
  draw();
  inspect();
  s.queue.slice(position + 1, position + LOOK_AHEAD).forEach(fetchAhead);
}

// Images that are being fetched before they are shown.
const ahead = new Set();

function fetchAhead(item) {
  const image = new Image();
  image.src = imageAddress(item, s.scaling);
  const fetched = image.decode().catch(() => {}).finally(() => ahead.delete(fetched));
  ahead.add(fetched);
}

// The next image that needs a label, seen from the current one: unlabelled ones first, then skipped ones.
function nextOpen() {
  const n = s.queue.length;
  const after = Array.from({ length: n }, (_, k) => (s.position + 1 + k) % n).filter((k) => s.labelOf(s.queue[k]) === null);
  return after.find((k) => !s.isSkipped(s.queue[k])) ?? after[0] ?? null;
}

async function proceed() {
  const position = nextOpen();
  if (position !== null) {
    show(position);
    return;
  }
  draw();
  if (s.pass === 2) await showAgreement(s.classes);
  const answer = await askWhenDone(s);
  if (answer === "finish") await actions.finish();
  if (answer === "pass") await startPass(2);
}

function spoken(item) {
  const label = s.labelOf(item);
  if (label === null) return s.isSkipped(item) ? "skipped" : "no label";
  return words(s.classes[label].name) + (s.gradeOf(item) === null ? "" : `, grade ${s.gradeOf(item)}`);
}

const clock = () => new Date(s.saved).toLocaleTimeString("en-GB");

async function commit(complete) {
  const item = current();
  takeChange(await post("label", { item, label: s.draft.label, grade: s.draft.grade, revision: s.revision }));
  const saved = [make("b", {}, `${s.captionOf(item)}: ${spoken(item)}.`), ` Saved ${clock()}.`];
  if (complete) {
    view.say(...saved);
    await proceed();
  } else {
    view.say(...saved, s.graded && s.draft.grade === null ? " Now the grade, or Enter to go on without." : " Enter to go on.");
    draw();
  }
}

async function travel(path, done, none) {
  const entry = takeChange(await post(path, { revision: s.revision }));
  if (!entry) {
    view.say(none);
    return;
  }
  show(Math.max(0, s.queue.indexOf(entry.item)));
  view.say(make("b", {}, `${done}.`), ` ${s.captionOf(entry.item)}: ${spoken(entry.item)}.`);
}

async function startPass(pass, order = s.order) {
  takeState(await post("choose", { pass, order, revision: s.revision }));
  s.position = s.queue.length - 1; // the search starts behind it, at the first image
  show(nextOpen() ?? 0);
  view.say(pass === 2 ? "Second pass." : "First pass.");
}

function step(delta) {
  const position = s.position + delta;
  if (position >= 0 && position < s.queue.length) show(position);
  else view.say(delta < 0 ? "This is the first image." : "This is the last image.");
}

async function setGrade(grade, complete) {
  if (!s.graded) {
    view.say("Grades are not asked for; press G to ask for them.");
    return;
  }
  s.draft.grade = grade;
  s.gradedNow = true;
  if (s.draft.label === null) {
    view.say(make("b", {}, `Grade ${grade}.`), " Now the class.");
    view.drawChoices(s);
  } else {
    await commit(complete);
  }
}

const actions = {
  label: async (label) => {
    s.draft.label = label;
    await commit(!s.graded || s.gradedNow);
  },
  grade: (grade) => setGrade(grade, true),
  more: () => setGrade(s.draft.grade === null ? 0 : Math.min(3, s.draft.grade + 0.5), false),
  less: () => setGrade(s.draft.grade === null ? 3 : Math.max(0, s.draft.grade - 0.5), false),
  go: (position) => show(position),
  next: () => step(1),
  previous: () => step(-1),
  continue: () => proceed(),
  skip: async () => {
    const item = current();
    takeChange(await post("skip", { item, revision: s.revision }));
    view.say(make("b", {}, `${s.captionOf(item)}: skipped.`), " It comes again at the end.");
    await proceed();
  },
  clear: async () => {
    const item = current();
    if (s.labelOf(item) === null) {
      view.say("This image has no label.");
      return;
    }
    takeChange(await post("clear", { item, revision: s.revision }));
    show(s.position);
    view.say(make("b", {}, `${s.captionOf(item)}: label removed.`), ` Saved ${clock()}.`);
  },
  undo: () => travel("undo", "Undone", "There is nothing to undo."),
  redo: () => travel("redo", "Done again", "There is nothing to do again."),
  scaling: (value) => {
    s.scaling = value ?? (s.scaling === "linear" ? "sqrt" : "linear");
    draw();
    inspect();
    view.say(s.scaling === "sqrt" ? "Square root scale: faint signal is lifted." : "Linear scale.");
  },
  outline: () => {
    if (!s.outline) {
      view.say("The outline of the sample is not known here.");
      return;
    }
    s.outlined = !s.outlined;
    view.drawStage(s);
    view.say(s.outlined ? "Outline of the sample shown." : "Outline hidden.");
  },
  graded: () => {
    s.graded = !s.graded;
    $("graded").checked = s.graded;
    view.drawChoices(s);
    view.say(s.graded ? "Class and grade are asked for." : "Only the class is asked for.");
  },
  order: (order) => startPass(1, order),
  pass: async () => {
    if (s.pass === 2) await startPass(1);
    else if (s.first === 0) view.say("A second pass needs labels of a first one.");
    else if ((await askForSecondPass(s)) === "start") await startPass(2);
  },
  agreement: async () => {
    if (s.second === 0) view.say("The agreement needs a second pass.");
    else await showAgreement(s.classes);
  },
  help: () => ask("help-dialog"),
  finish: async () => {
    await Promise.all(ahead); // the server breaks off what it has not answered when it ends
    await post("finish", {});
    s.ended = true;
    showEnd(s.file);
  },
};

// Keys and clicks wait for those before them, so that fast typing never labels the wrong image.
let chain = Promise.resolve();
let waiting = 0;

let failures = 0;

function act(action, value) {
  const before = failures;
  document.documentElement.dataset.waiting = String(++waiting);
  // What was typed before a failure became known was meant for another state.
  chain = chain.then(() => (s.ended || failures > before ? null : actions[action](value))).catch(failed)
    .then(() => { document.documentElement.dataset.waiting = String(--waiting); });
}

async function failed(error) {
  failures++;
  if (error.status === 409) {
    const item = current();
    takeState(await get("state"));
    show(Math.max(0, s.queue.indexOf(item)));
    view.showAlert(`${error.message}. Your last key was not used.`);
    return;
  }
  s.draft = { label: s.labelOf(current()), grade: s.gradeOf(current()) };
  view.drawChoices(s);
  view.showAlert(error.status === 0 ? error.message : `Not saved: ${error.message}`);
}

const focusStage = () => $("stage").focus({ preventScroll: true });

function greeting(open) {
  if (s.first === 0) return "Press the letter of a class, then a digit for the grade. H lists all keys.";
  if (s.second > 0 && s.second < s.first) return `${s.second} of ${s.first} images were labelled twice; P continues the second pass.`;
  return open === null ? "All images are labelled." : `${s.first} images were labelled before; this is the next one.`;
}

function listen() {
  document.addEventListener("keydown", (event) => {
    if (anyOpen() || s.ended) return;
    const command = commandOf(event, s.classes);
    if (command === null || (!$("shortcuts").checked && !event.ctrlKey && !event.metaKey)) return;
    event.preventDefault();
    // A key that is held down must not label one image after another.
    if (!event.repeat || command.action === "previous" || command.action === "next") act(command.action, command.value);
  });
  // A click must not leave the focus on a button, where Enter and Space would press it again.
  document.addEventListener("click", (event) => {
    const pointer = event.detail > 0; // 0: the keyboard pressed the button
    if (pointer && event.target.closest("main, header") && !event.target.closest("select")) focusStage();
  });
  for (const action of ["previous", "skip", "next", "undo", "redo", "pass", "help", "finish", "outline"]) {
    $(action).addEventListener("click", () => act(action));
  }
  $("agree").addEventListener("click", () => act("agreement"));
  $("graded").addEventListener("change", () => act("graded"));
  $("order").addEventListener("change", (event) => { act("order", event.target.value); focusStage(); });
  $("scaling").addEventListener("change", (event) => act("scaling", event.target.value));
  $("image").addEventListener("load", () => view.fitPicture(s));
  $("image").addEventListener("error", () => view.showAlert("The image cannot be shown; is the session still running?"));
  new ResizeObserver(() => { if (!s.ended) view.fitPicture(s); }).observe($("frame"));
}

async function start() {
  takeState(await get("state"));
  if (s.has_outline) s.outline = await get("outline");
  view.buildControls(s.classes, act);
  view.drawOutline(s.outline);
  if (s.has_section) {
    view.shape($("section-image"), s.pixel_ratio).src = "section.png";
    $("section").hidden = false;
  }
  s.position = s.queue.length - 1;
  const open = nextOpen();
  show(open ?? 0);
  listen();
  view.say(greeting(open));
  focusStage();
  document.documentElement.dataset.waiting = "0";
}

start().catch((error) => view.showAlert(error.message));
