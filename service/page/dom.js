// Elements, made and changed. Texts that come from outside only ever become text nodes.

export const byId = (id) => document.getElementById(id);

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(name, text = "", attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Rows of a definition list: [[term, value], ...]
export function pairs(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild.remove();
  rows.forEach(([term, value], index) => {
    let row = list.children[index];
    if (!row) {
      row = make("div");
      row.append(make("dt"), make("dd"));
      list.append(row);
    }
    write(row.children[0], term);
    write(row.children[1], value);
  });
}

// Bars with words: [[word, fraction, value in words], ...]
export function bars(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild.remove();
  rows.forEach(([word, fraction, value], index) => {
    let row = list.children[index];
    if (!row) {
      row = make("li");
      const bar = make("span", "", { class: "bar-fill", "aria-hidden": "true" });
      bar.append(make("span"));
      row.append(make("span", "", { class: "bar-word" }), make("span", "", { class: "bar-value" }), bar);
      list.append(row);
    }
    write(row.children[0], word);
    write(row.children[1], value);
    row.children[2].firstElementChild.style.inlineSize = `${Math.max(0, Math.min(1, fraction)) * 100}%`;
  });
}
