// Which key does what.

export const GRADES = [0, 0.5, 1, 1.5, 2, 2.5, 3];

// All class names begin with different letters.
export const classKey = (name) => name[0].toUpperCase();
export const gradeKey = (grade) => (Number.isInteger(grade) ? String(grade) : `⇧${Math.floor(grade)}`);

const PLAIN = {
  z: "undo", y: "redo", x: "clear", c: "scaling", o: "outline", p: "pass", a: "agreement", h: "help", g: "graded",
};
const NAMED = {
  Enter: "continue", " ": "skip", ArrowLeft: "previous", ArrowRight: "next", ArrowUp: "more", ArrowDown: "less",
  Backspace: "undo", Delete: "clear", "?": "help",
};

// The letter of a key, also on keyboards that write another script.
function letterOf(event) {
  const key = event.key.toLowerCase();
  if (/^[a-z]$/.test(key)) return key;
  return /^Key[A-Z]$/.test(event.code) && !/^[!-~]$/.test(event.key) ? event.code[3].toLowerCase() : "";
}

// Grade of a digit key; the place of the key counts, because shift changes what it writes.
function gradeOf(event) {
  const digit = /^(?:Digit|Numpad)([0-3])$/.exec(event.code);
  if (digit === null) return /^[0-3]$/.test(event.key) && !event.shiftKey ? Number(event.key) : null;
  const grade = Number(digit[1]) + (event.shiftKey && event.code.startsWith("Digit") ? 0.5 : 0);
  return grade <= 3 ? grade : null;
}

// What a key press asks for: {action, value}, or null. Keys that belong to the control with the focus are left to it.
export function commandOf(event, classes) {
  if (event.altKey || event.isComposing) return null;
  const letter = letterOf(event);
  if (event.ctrlKey || event.metaKey) {
    if (letter === "z") return { action: event.shiftKey ? "redo" : "undo" };
    return letter === "y" ? { action: "redo" } : null;
  }
  const target = event.target;
  if (target.matches("select, input[type='text']")) return null;
  if (target.matches("input[type='radio']") && event.key.startsWith("Arrow")) return null;
  if (target.matches("button, input, summary, a") && (event.key === "Enter" || event.key === " ")) return null;
  if (NAMED[event.key]) return { action: NAMED[event.key] };
  const grade = gradeOf(event);
  if (grade !== null) return { action: "grade", value: grade };
  if (letter === "") return null;
  const label = classes.findIndex((each) => classKey(each.name).toLowerCase() === letter);
  if (label >= 0) return { action: "label", value: label };
  return PLAIN[letter] ? { action: PLAIN[letter] } : null;
}
