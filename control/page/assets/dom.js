// What all parts of the page need to write into it. Text goes in as text, never as markup: reasons and
// messages hold what stood on a disk.

const svgNS = "http://www.w3.org/2000/svg";

/** Makes an element of a class, with children that are nodes or texts. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Makes an SVG element with attributes. */
export function drawing(tag, attributes, ...children) {
  const made = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Makes node say text; what is right already is not touched, so that nothing is announced twice. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Is text with each `command` in it as an element of its own. */
export function withCommands(text) {
  return text.split("`").map((part, i) => (i % 2 ? element("code", "", part) : part));
}
