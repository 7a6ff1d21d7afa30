"use strict";
// Shows the table that a reader chooses. Where scripts do not run, the first one stands there.
for (const section of document.querySelectorAll("[data-choice]")) {
  const tables = JSON.parse(section.querySelector("script").textContent);
  const [select, body, caption] = ["select", "tbody", "caption"].map((tag) => section.querySelector(tag));
  const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const row = ([first, ...rest]) => {
    const head = cell("th", first), line = document.createElement("tr");
    head.scope = "row";
    line.append(head, ...rest.map((text) => cell("td", text)));
    return line;
  };
  const show = () => {
    const chosen = select.options[select.selectedIndex];
    caption.textContent = `${chosen.parentElement.label}: ${chosen.textContent}`;
    body.replaceChildren(...tables[select.selectedIndex].map(row));
  };
  select.addEventListener("change", show);
  for (const button of section.querySelectorAll("button"))
    button.addEventListener("click", () => {
      const count = select.options.length;
      select.selectedIndex = (select.selectedIndex + Number(button.dataset.by) + count) % count;
      show();
    });
  show(); // a browser may remember what was chosen before
  section.querySelector(".controls").hidden = false;
}
