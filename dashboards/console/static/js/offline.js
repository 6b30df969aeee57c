// Shown by the service worker where the server cannot be reached: says so, and goes on once it can.

const state = document.getElementById("state");
let tries = 0;

async function look() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store" });
    if (answer.ok) {
      if (location.pathname === "/offline") location.replace("/");
      else location.reload();
      return;
    }
    state.textContent = "The server answers, and says that it is stopping. Trying again.";
  } catch {
    tries += 1;
    state.textContent = `The ward cannot be reached (tried ${tries} ${tries === 1 ? "time" : "times"}). Trying again by itself.`;
  }
}

document.getElementById("again").addEventListener("click", look);
addEventListener("online", look);
setInterval(look, 4000);
look();
