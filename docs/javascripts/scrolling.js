// A table or diagram that is wider than its page scrolls; the keyboard can scroll it too.
function makeFocusable() {
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset p:has(> img)"))
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
}

addEventListener("load", makeFocusable);
addEventListener("resize", makeFocusable);
