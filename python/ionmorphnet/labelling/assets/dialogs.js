// Dialogs: help, second pass, agreement, end.

import { $, make, words } from "./dom.js";
import { get } from "./api.js";

// Opens a dialog; resolves to the value of the button that closed it.
export function ask(id) {
  const dialog = $(id);
  if (dialog.open) return Promise.resolve("");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

export const anyOpen = () => document.querySelector("dialog[open]") !== null;

const percent = (share) => `${Math.round(share * 100)} %`;

export async function showAgreement(classes) {
  const { agreement } = await get("agreement");
  const shown = agreement === null ? [make("p", {}, "No image has two labels yet.")] : contents(agreement, classes);
  $("agreement").replaceChildren(...shown);
  return ask("agreement-dialog");
}

const cell = (n, same) => make("td", { class: same ? "same" : n === 0 ? "zero" : null }, String(n));

function contents(found, classes) {
  const figure = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  const figures = make("dl", { class: "figures" },
    figure("images labelled twice", String(found.images)),
    figure("in the same class", percent(found.same)),
    figure("Cohen's kappa", found.kappa === null ? "undefined" : found.kappa.toFixed(2)),
    found.grade_difference === null ? null : figure("mean difference of grades", found.grade_difference.toFixed(2)));
  const occurs = (k) => found.table[k].some((n) => n > 0) || found.table.some((row) => row[k] > 0);
  const used = classes.map((_, k) => k).filter(occurs);
  const head = make("tr", {}, make("td"), ...used.map((k) => make("th", { scope: "col" }, words(classes[k].name))));
  const rows = used.map((i) => make("tr", {}, make("th", { scope: "row" }, words(classes[i].name)),
    ...used.map((j) => cell(found.table[i][j], i === j))));
  const caption = make("caption", {}, "Rows: first pass, columns: second pass");
  const table = make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows));
  const note = found.kappa === null
    ? "Kappa is undefined, because both passes used the same single class."
    : "Kappa is the agreement beyond chance: 1 is perfect, 0 is what the frequencies of the classes alone would give. "
      + "Below about 0.6, decide what the classes mean before you train on the labels.";
  return [figures, make("div", { class: "scroller" }, table), make("p", { class: "note" }, note)];
}

export function askForSecondPass({ first, second }) {
  const images = first === 1 ? "You will label the same image again" : `You will label the same ${first} images again, in another order`;
  $("pass-about").textContent = second === 0 ? `${images}.` : `${images}. ${second} of them are done.`;
  return ask("pass-dialog");
}

export function askWhenDone(s) {
  $("done-title").textContent = s.pass === 2 ? "The second pass is complete" : "All images are labelled";
  $("done-about").textContent = `${s.first} images are labelled${s.second ? `, ${s.second} of them twice` : ""}. Everything is saved in ${s.file}.`;
  $("done-pass").hidden = s.pass === 2;
  return ask("done-dialog");
}

export function showEnd(file) {
  const about = `The labels are in ${file}. You can close this page; the same command continues with them.`;
  const panel = make("section", { class: "panel" }, make("h1", {}, "Session finished"), make("p", {}, about));
  document.body.replaceChildren(make("main", { class: "end" }, panel));
  document.title = "Session finished";
}
