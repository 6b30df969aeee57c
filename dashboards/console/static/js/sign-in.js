// The way in.

import { get, post } from "./net.js";

const form = document.getElementById("form");
const wrong = document.getElementById("wrong");

function onwards(home) {
  const next = new URLSearchParams(location.search).get("next") ?? home;
  // Only to a path of our own: "//elsewhere" is another site.
  // The front page is not everybody's: a patient or carer begins elsewhere.
  location.replace(/^\/(?![/\\])./.test(next) ? next : home);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const name = document.getElementById("name").value.trim();
  const password = document.getElementById("password").value;
  wrong.textContent = "";
  if (!name || !password) {
    wrong.textContent = "Name and password are needed.";
    document.getElementById(name ? "password" : "name").focus();
    return;
  }
  button.disabled = true;
  try {
    const { home } = await post("/api/sign-in", { name, password });
    onwards(home);
  } catch (error) {
    wrong.textContent = error.message;
    button.disabled = false;
    document.getElementById("password").select();
  }
});

document.getElementById("name").focus();
// Led here by a link from elsewhere, the browser kept the strict cookie back: from our own page it sends it.
get("/api/session").then(({ signed_in: already, home }) => { if (already) onwards(home); }, () => {});
