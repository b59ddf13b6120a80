"use strict";
const strength = document.getElementById("strength");
if (strength) {
  strength.parentElement.hidden = false;
  strength.addEventListener("input", () =>
    document.documentElement.style.setProperty("--strength", strength.value / 100));
}
