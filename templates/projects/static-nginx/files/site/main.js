const now = document.getElementById("now");

function tick() {
  now.textContent = new Date().toLocaleTimeString();
}

tick();
setInterval(tick, 1000);
