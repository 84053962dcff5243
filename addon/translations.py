# SPDX-License-Identifier: GPL-3.0-or-later
"""The main labels in German and Japanese; Blender shows them where its interface is in that language.

A language is one more column here. What is not in the table stays English, or is what Blender itself makes of it.
"""

from __future__ import annotations

import bpy

LANGUAGES = ("de_DE", "ja_JP")
# For words that Blender's own table takes for something else: "Normal" is a surface's there, "Ease" is to make simpler.
OWN = "Puppet Master"
CONTEXTS = ("*", "Operator", OWN)

_TABLE: dict[str, tuple[str, str]] = {
    # Panels and their parts
    "Still": ("Standbild", "静止画"),
    "Drags": ("Züge", "ドラッグ"),
    "From Animation": ("Aus Animation", "アニメーションから"),
    "Preview": ("Vorschau", "プレビュー"),
    "Previews": ("Vorschauen", "プレビュー一覧"),
    "Playback": ("Wiedergabe", "再生"),
    "History": ("Verlauf", "履歴"),
    "Training Clips": ("Trainingsclips", "学習用クリップ"),
    "Puppet Handles": ("Puppet-Griffe", "パペットハンドル"),
    # The still
    "Source": ("Quelle", "ソース"),
    "Camera": ("Kamera", "カメラ"),
    "Render Result": ("Renderergebnis", "レンダー結果"),
    "Engine": ("Engine", "エンジン"),
    "Scene's Engine": ("Engine der Szene", "シーンのエンジン"),
    "Max Samples": ("Max. Samples", "最大サンプル数"),
    "Background": ("Hintergrund", "背景"),
    "Make Still": ("Standbild erstellen", "静止画を作成"),
    "Use Image as Still": ("Bild als Standbild verwenden", "画像を静止画に使用"),
    "The scene has no camera": ("Die Szene hat keine Kamera", "シーンにカメラがありません"),
    # Drags and handles
    "Place Handles": ("Griffe setzen", "ハンドルを配置"),
    "Add Drag": ("Zug hinzufügen", "ドラッグを追加"),
    "Add Pin": ("Pin hinzufügen", "ピンを追加"),
    "Remove Drag": ("Zug entfernen", "ドラッグを削除"),
    "Add Point": ("Punkt hinzufügen", "ポイントを追加"),
    "Duplicate Drags": ("Züge duplizieren", "ドラッグを複製"),
    "Mirror Drags": ("Züge spiegeln", "ドラッグをミラー"),
    "Delete Handles": ("Griffe löschen", "ハンドルを削除"),
    "Box Select Handles": ("Griffe im Rechteck auswählen", "ハンドルをボックス選択"),
    "Ease": ("Übergang", "イージング"),
    "Linear": ("Linear", "リニア"),
    "Smooth": ("Weich", "スムーズ"),
    "Time": ("Zeit", "時間"),
    "Stick to Surface": ("An Oberfläche haften", "表面に吸着"),
    "Show Handles": ("Griffe anzeigen", "ハンドルを表示"),
    "Drags from Animation": ("Züge aus Animation", "アニメーションからドラッグを作成"),
    "Tolerance": ("Toleranz", "許容値"),
    # The preview
    "Model": ("Modell", "モデル"),
    "Quality": ("Qualität", "品質"),
    "Draft": ("Entwurf", "ドラフト"),
    "Normal": ("Normal", "標準"),
    "Final": ("Endgültig", "最終"),
    "Custom": ("Eigene", "カスタム"),
    "Seed": ("Startwert", "シード"),
    "Lock Seed": ("Startwert sperren", "シードを固定"),
    "Variations": ("Varianten", "バリエーション"),
    "Model Defaults": ("Modellvorgaben", "モデルの既定値"),
    "Frames": ("Bilder", "フレーム数"),
    "Steps": ("Schritte", "ステップ数"),
    "Guidance First": ("Führung am Anfang", "ガイダンス 開始"),
    "Cancel All": ("Alle abbrechen", "すべてキャンセル"),
    "Retry": ("Erneut versuchen", "再試行"),
    "The backend ended before this began": (
        "Das Backend endete, bevor diese Vorschau an der Reihe war", "開始前にバックエンドが終了しました",
    ),
    "Half the Frames": ("Halb so viele Bilder", "フレーム数を半分に"),
    "One pass: quality, seed, guidance and variations make no difference": (
        "Ein Durchgang: Qualität, Startwert, Führung und Varianten machen keinen Unterschied",
        "1パス: 品質、シード、ガイダンス、バリエーションは結果に影響しません",
    ),
    # Playback and history
    "Play": ("Abspielen", "再生"),
    "Stop": ("Anhalten", "停止"),
    "Scene": ("Szene", "シーン"),
    "Drag Errors": ("Abweichungen", "ドラッグの誤差"),
    "Show in Camera View": ("In Kameraansicht zeigen", "カメラビューに表示"),
    "Show in Image Editor": ("Im Bildeditor zeigen", "画像エディターに表示"),
    "Send to Sequencer": ("An Sequencer senden", "シーケンサーへ送る"),
    "Save Preview": ("Vorschau speichern", "プレビューを保存"),
    "Use These Settings": ("Diese Einstellungen verwenden", "この設定を使用"),
    "Open Folder": ("Ordner öffnen", "フォルダーを開く"),
    # The backend
    "Backend": ("Backend", "バックエンド"),
    "Not installed": ("Nicht installiert", "未インストール"),
    "Installing": ("Wird installiert", "インストール中"),
    "Stopped": ("Angehalten", "停止中"),
    "Starting": ("Startet", "起動中"),
    "Ready": ("Bereit", "準備完了"),
    "Busy": ("Beschäftigt", "処理中"),
    "Failed": ("Fehlgeschlagen", "失敗"),
    "Install Backend": ("Backend installieren", "バックエンドをインストール"),
    "Restart Backend": ("Backend neu starten", "バックエンドを再起動"),
    "Open Log": ("Protokoll öffnen", "ログを開く"),
    "Copy Report": ("Bericht kopieren", "レポートをコピー"),
    "Output Folder": ("Ausgabeordner", "出力フォルダー"),
}


def translated(text: str) -> str:
    """A text in the interface's language, where it is in the table or in Blender's own."""
    return bpy.app.translations.pgettext_iface(text)


def register() -> None:
    """Give Blender the table."""
    bpy.app.translations.register(__package__, _by_language())


def unregister() -> None:
    """Take it back."""
    bpy.app.translations.unregister(__package__)


def _by_language() -> dict[str, dict[tuple[str, str], str]]:
    return {
        language: {(context, text): words[column] for text, words in _TABLE.items() for context in CONTEXTS}
        for column, language in enumerate(LANGUAGES)
    }
